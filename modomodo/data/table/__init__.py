"""Tables of one's own as datasets, without code: `loader: table` in a study (docs/extending.md).

`sources` reads rows from files, folders and downloads; `spellings` tells which column is what; `cells`, `image_cells`
and `conversations` turn cells into questions, answers, boxes and images; `reading` yields the rows as examples, once
`settling` has settled how the table is read; `doubts` says what may be wrong with it.
"""

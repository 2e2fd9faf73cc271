"""Tables of one's own as datasets, without code: `loader: table` in a study (docs/extending.md).

`sources` reads rows from files, folders and downloads; `spellings` tells which column is what; `cells` turns cells
into questions, answers, boxes and images; `reading` settles how a table is read and yields its rows.
"""

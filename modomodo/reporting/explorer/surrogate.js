"use strict";
// The fitted surrogate: modomodo/mixtures/surrogates/{gaussian_processes,posterior}.py. The page holds the runs and what
// each hypothesis counts; kernels are computed and solved here.

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}

// A symmetric matrix [n, n], given and overwritten by its lower triangle, is Q T Qᵀ: T tridiagonal, Q a product of
// Householder reflections (Golub and Van Loan 2013, 8.3.1). One such form serves every signal share and noise, since
// (s · K + ν)⁻¹ = Q (s · T + ν)⁻¹ Qᵀ, and takes a tenth of the time of eigenvectors.
class Tridiagonal {
  constructor(matrix, n) {
    this.matrix = matrix;  // row i: the vector of reflection i, of length i
    this.size = n;
    this.diagonal = new Float64Array(n);
    this.beside = new Float64Array(n);  // [i]: T between i - 1 and i
    this.halves = new Float64Array(n);  // half the squared length of each vector; 0: none is needed
    const image = new Float64Array(n);
    for (let i = n - 1; i > 0; i--) {
      const own = matrix.subarray(i * n, i * n + i), last = own[i - 1];
      let square = 0;
      for (let k = 0; k < i - 1; k++) square += own[k] * own[k];
      this.diagonal[i] = matrix[i * n + i];
      this.beside[i] = last;
      if (square === 0) continue;
      const length = Math.sqrt(square + last * last) * (last > 0 ? -1 : 1);
      const half = length * length - last * length;
      this.beside[i] = length;
      this.halves[i] = half;
      own[i - 1] = last - length;
      image.fill(0, 0, i);
      for (let j = 0; j < i; j++) {
        const row = j * n, factor = own[j];
        let sum = matrix[row + j] * factor;
        for (let k = 0; k < j; k++) {
          sum += matrix[row + k] * own[k];
          image[k] += matrix[row + k] * factor;
        }
        image[j] += sum;
      }
      let along = 0;
      for (let k = 0; k < i; k++) along += image[k] * own[k];
      along /= 2 * half * half;
      for (let k = 0; k < i; k++) image[k] = image[k] / half - along * own[k];
      for (let j = 0; j < i; j++) {
        const row = j * n, left = own[j], right = image[j];
        for (let k = 0; k <= j; k++) matrix[row + k] -= left * image[k] + right * own[k];
      }
    }
    this.diagonal[0] = matrix[0];
  }

  // Qᵀ x, in place.
  into(x) {
    for (let i = this.size - 1; i > 0; i--) this.reflect(x, i);
    return x;
  }

  // Q x, in place.
  back(x) {
    for (let i = 1; i < this.size; i++) this.reflect(x, i);
    return x;
  }

  reflect(x, i) {
    if (this.halves[i] === 0) return;
    const start = i * this.size;
    let sum = 0;
    for (let k = 0; k < i; k++) sum += this.matrix[start + k] * x[k];
    sum /= this.halves[i];
    for (let k = 0; k < i; k++) x[k] -= sum * this.matrix[start + k];
  }

  // s · T + ν = L D Lᵀ: D, and L beside its diagonal of ones.
  factor(signal, noise) {
    const pivots = new Float64Array(this.size), beside = new Float64Array(this.size);
    for (let i = 0; i < this.size; i++) {
      pivots[i] = signal * this.diagonal[i] + noise;
      if (i === 0) continue;
      beside[i] = signal * this.beside[i] / pivots[i - 1];
      pivots[i] -= beside[i] * signal * this.beside[i];
    }
    return { pivots, beside };
  }
}

// (L D Lᵀ)⁻¹ x
function solve({ pivots, beside }, x) {
  const found = Float64Array.from(x), last = found.length - 1;
  for (let i = 1; i <= last; i++) found[i] -= beside[i] * found[i - 1];
  found[last] /= pivots[last];
  for (let i = last - 1; i >= 0; i--) found[i] = found[i] / pivots[i] - beside[i + 1] * found[i + 1];
  return found;
}

// xᵀ (L D Lᵀ)⁻¹ x
function form({ pivots, beside }, x) {
  let sum = 0, before = 0;
  for (let i = 0; i < x.length; i++) {
    before = x[i] - beside[i] * before;
    sum += before * before / pivots[i];
  }
  return sum;
}

function dot(left, right) {
  let sum = 0;
  for (let i = 0; i < left.length; i++) sum += left[i] * right[i];
  return sum;
}

class Surrogate {
  constructor(data) {
    Object.assign(this, data);
    for (const group of this.groups) {
      group.powered = new Map(group.terms.map(({ power }) => [power, Float64Array.from(group.runs.flat(), (weight) => weight ** power)]));
      // Of each term, the rows of its matrix between the runs.
      const between = group.terms.map((term) => group.runs.map((weights) => this.cross(term, group.powered.get(term.power), weights)));
      const expected = group.mean_terms.map((term) => group.runs.map((weights) => this.meanTerm(term, weights)));
      for (const kernel of group.kernels) this.condition(group, kernel, between, expected);
    }
  }

  // ConditionedKernel: scores less what a hypothesis expected, and covariances, in the basis of the tridiagonal form.
  condition(group, kernel, between, expected) {
    const { roots, scores, pairs } = group, runs = roots.length;
    const matrix = new Float64Array(runs * runs);
    for (let i = 0; i < runs; i++) {
      for (let j = 0; j <= i; j++) {
        const value = kernel.terms.reduce((sum, [term, share]) => sum + share * between[term][i][j], this.level);
        matrix[i * runs + j] = value * roots[i] * roots[j];
      }
    }
    kernel.weights = unpack(kernel.weights);
    kernel.form = new Tridiagonal(matrix, runs);
    const rotated = scores.map((column) => kernel.form.into(Float64Array.from(column, (score, i) => score * roots[i])));
    const offsets = kernel.mean_terms.map((terms) => kernel.form.into(Float64Array.from(roots, (root, i) =>
      root * terms.reduce((sum, [term, share]) => sum + share * expected[term][i], 0))));
    const count = scores.length;
    kernel.spread = new Map();  // pair → of each benchmark, what explains its variance, and how much that counts
    kernel.solutions = kernel.used.map(([m, pair], place) => {
      const { signal, variance, noise } = pairs[pair];
      if (!kernel.spread.has(pair)) {
        kernel.spread.set(pair, noise.map((least) => ({ factors: kernel.form.factor(signal, least), weight: 0 })));
      }
      return kernel.spread.get(pair).map((each, b) => {
        const weight = kernel.weights[place * count + b];
        if (weight === 0) return null;
        each.weight += weight * signal * signal * variance;
        return solve(each.factors, rotated[b].map((score, r) => signal * (score - offsets[m][r])));
      });
    });
  }

  // ProcessPredictor.predict. weights [domains] → {mean, deviation, noise}, each [benchmarks]: of the expected score;
  // noise is what one run adds.
  predict(weights) {
    const { mean, variance } = this.standardised(weights, null, 1);
    return {
      mean: mean.map((value, b) => value * this.scale[b] + this.center[b]),
      deviation: variance.map((value, b) => Math.sqrt(value) * this.scale[b]),
      noise: this.noise.map((value, b) => Math.sqrt(value) * this.scale[b]),
    };
  }

  // ProcessPredictor.difference: of the expectations at two mixtures, whose errors are shared.
  difference(weights, less) {
    const { mean, variance } = this.standardised(weights, less, 0);
    return {
      mean: mean.map((value, b) => value * this.scale[b]),
      deviation: variance.map((value, b) => Math.sqrt(value) * this.scale[b]),
      noise: this.noise.map((value, b) => Math.sqrt(2 * value) * this.scale[b]),
    };
  }

  // Standardised moments [benchmarks]; `unscored` is the variance of a benchmark that was never scored.
  standardised(weights, less, unscored) {
    const mean = this.benchmarks.map(() => 0), variance = this.benchmarks.map(() => unscored);
    for (const group of this.groups) {
      const moments = this.moments(group, weights, less);
      group.columns.forEach((column, place) => {
        mean[column] = moments.mean[place];
        variance[column] = moments.variance[place];
      });
    }
    return { mean, variance };
  }

  // FittedGroup.moments: the average over kernels; with `less`, of the difference from the mixture there.
  moments(group, weights, less) {
    const runs = group.runs.length, count = group.columns.length;
    const mean = new Float64Array(count), square = new Float64Array(count);
    let terms = group.terms.map((term) => this.cross(term, group.powered.get(term.power), weights));
    let meanTerms = group.mean_terms.map((term) => this.meanTerm(term, weights));
    let between = null;  // of each term, the two mixtures
    if (less) {
      between = group.terms.map((term) => this.cross(term, Float64Array.from(less, (weight) => weight ** term.power), weights)[0]);
      const others = group.terms.map((term) => this.cross(term, group.powered.get(term.power), less));
      terms = terms.map((term, t) => term.map((value, i) => value - others[t][i]));
      meanTerms = meanTerms.map((value, t) => value - this.meanTerm(group.mean_terms[t], less));
    }
    for (const kernel of group.kernels) {
      const cross = new Float64Array(runs).fill(less ? 0 : this.level);
      const paired = less ? kernel.terms.reduce((sum, [term, share]) => sum + share * between[term], this.level) : null;
      for (const [term, share] of kernel.terms) {
        for (let i = 0; i < runs; i++) cross[i] += share * terms[term][i];
      }
      const prior = kernel.mean_terms.map((terms) => terms.reduce((sum, [term, share]) => sum + share * meanTerms[term], 0));
      const rotated = kernel.form.into(cross.map((value, i) => value * group.roots[i]));
      for (let b = 0; b < count; b++) {
        kernel.used.forEach(([m], place) => {
          const weight = kernel.weights[place * count + b];
          if (weight === 0) return;
          const expected = prior[m] + dot(rotated, kernel.solutions[place][b]);
          mean[b] += weight * expected;
          square[b] += weight * expected * expected;
        });
        let explained = 0;
        for (const benchmarks of kernel.spread.values()) {
          const { factors, weight } = benchmarks[b];
          if (weight > 0) explained += weight * form(factors, rotated);
        }
        const before = less ? (2 - 2 * paired / kernel.peak) * kernel.prior[b] : kernel.prior[b];
        square[b] += Math.max(before - explained, 0);
      }
    }
    return { mean, variance: square.map((value, b) => Math.max(value - mean[b] * mean[b], 0)) };
  }

  // FittedGroup.mean: the expected scores [benchmarks] alone, each term computed once with its coefficients summed.
  mean(weights) {
    const mean = this.center.slice();
    for (const group of this.groups) {
      group.summed ||= this.summed(group);
      const { level, slopes, coefficients } = group.summed;
      const values = level.slice();
      group.mean_terms.forEach((term, t) => {
        const value = this.meanTerm(term, weights);
        slopes[t].forEach((slope, b) => { values[b] += slope * value; });
      });
      group.terms.forEach((term, t) => {
        this.cross(term, group.powered.get(term.power), weights).forEach((value, i) => {
          for (let b = 0; b < values.length; b++) values[b] += coefficients[t][i * values.length + b] * value;
        });
      });
      group.columns.forEach((column, b) => { mean[column] += values[b] * this.scale[column]; });
    }
    return mean;
  }

  // FittedGroup._summed: coefficients of each kernel with each run, s · C⁻¹ (y - μ), summed by weight over everything.
  summed(group) {
    const runs = group.runs.length, count = group.columns.length;
    const level = new Float64Array(count);
    const slopes = group.mean_terms.map(() => new Float64Array(count));
    const coefficients = group.terms.map(() => new Float64Array(runs * count));
    for (const kernel of group.kernels) {
      for (let b = 0; b < count; b++) {
        const solved = new Float64Array(runs);
        kernel.used.forEach(([m], place) => {
          const weight = kernel.weights[place * count + b];
          if (weight === 0) return;
          for (const [term, share] of kernel.mean_terms[m]) slopes[term][b] += share * weight;
          kernel.solutions[place][b].forEach((value, r) => { solved[r] += weight * value; });
        });
        kernel.form.back(solved).forEach((value, i) => {
          const averaged = value * group.roots[i];
          level[b] += this.level * averaged;
          for (const [term, share] of kernel.terms) coefficients[term][i * count + b] += share * averaged;
        });
      }
    }
    return { level, slopes, coefficients };
  }

  // MeanTerm: one domain's power, or the sum of all, standardised over the runs.
  meanTerm({ power, domain, center, spread }, weights) {
    if (spread === null) return 0;
    const chosen = domain === null ? weights : [weights[domain]];
    const distance = chosen.reduce((sum, weight) => sum + weight ** power, 0) - center;
    return Math.max(-this.farthest, Math.min(this.farthest, distance / spread));
  }

  // KernelTerm, scaled, between runs (their weights to the power p, [run, domain]) and a mixture: [run], the mean over
  // its blocks of domains.
  cross({ power, length, blocks, scale }, runs, weights) {
    const width = weights.length, reach = 2 * length ** 2, powered = weights.map((weight) => weight ** power);
    const found = new Float64Array(runs.length / width);
    for (let i = 0; i < found.length; i++) {
      let sum = 0;
      for (const block of blocks) {
        let square = 0;
        for (const domain of block) square += (powered[domain] - runs[i * width + domain]) ** 2;
        sum += Math.exp(-square / reach);
      }
      found[i] = sum / blocks.length / scale;
    }
    return found;
  }

  // A weighted sum of scores: Prediction.aggregate and Prediction.run_spread.
  aggregate(prediction, shares) {
    let mean = 0, expectation = 0, run = 0;
    for (let i = 0; i < shares.length; i++) {
      mean += shares[i] * prediction.mean[i];
      for (let j = 0; j < shares.length; j++) {
        const weight = shares[i] * shares[j] * this.correlation[i][j];
        expectation += weight * prediction.deviation[i] * prediction.deviation[j];
        run += weight * prediction.noise[i] * prediction.noise[j];
      }
    }
    const deviation = Math.sqrt(Math.max(expectation, 0));
    return { mean, deviation, run: Math.sqrt(deviation ** 2 + Math.max(run, 0)) };
  }
}

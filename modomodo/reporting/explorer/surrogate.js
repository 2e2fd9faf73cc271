"use strict";
// The fitted surrogate: modomodo/mixtures/surrogates/{gaussian_processes,posterior}.py, from exported coefficients.

function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}

class Surrogate {
  constructor(data) {
    Object.assign(this, data);
    for (const group of this.groups) {
      group.powered = new Map(group.terms.map(({ power }) => [power, Float64Array.from(group.runs.flat(), (weight) => weight ** power)]));
      for (const kernel of group.kernels) {
        for (const name of ["vectors", "values", "scores", "offsets", "weights", "explained"]) {
          kernel[name] = unpack(kernel[name]);
        }
      }
    }
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
      const rotated = new Float64Array(runs);  // in the eigenbasis
      for (let i = 0; i < runs; i++) {
        for (let r = 0; r < runs; r++) rotated[r] += cross[i] * kernel.vectors[i * runs + r];
      }
      for (let b = 0; b < count; b++) {
        group.pairs.forEach(({ signal, noise }, pair) => {
          const weightOf = (m) => kernel.weights[(m * group.pairs.length + pair) * count + b];
          if (prior.every((_, m) => weightOf(m) === 0)) return;
          const solved = new Float64Array(runs);
          for (let r = 0; r < runs; r++) solved[r] = signal * rotated[r] / (signal * kernel.values[r] + noise[b]);
          let first = 0;
          for (let r = 0; r < runs; r++) first += solved[r] * kernel.scores[b * runs + r];
          for (let m = 0; m < prior.length; m++) {  // hypotheses that share the kernel
            const weight = weightOf(m);
            if (weight === 0) continue;
            let expected = prior[m] + first;
            for (let r = 0; r < runs; r++) expected += solved[r] * kernel.offsets[m * runs + r];
            mean[b] += weight * expected;
            square[b] += weight * expected * expected;
          }
        });
        let explained = 0;
        for (let r = 0; r < runs; r++) explained += rotated[r] * rotated[r] * kernel.explained[b * runs + r];
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
    const runs = group.runs.length, count = group.columns.length, pairs = group.pairs.length;
    const level = new Float64Array(count);
    const slopes = group.mean_terms.map(() => new Float64Array(count));
    const coefficients = group.terms.map(() => new Float64Array(runs * count));
    for (const kernel of group.kernels) {
      for (let b = 0; b < count; b++) {
        const solved = new Float64Array(runs);  // in the eigenbasis
        kernel.mean_terms.forEach((terms, m) => group.pairs.forEach(({ signal, noise }, pair) => {
          const weight = kernel.weights[(m * pairs + pair) * count + b];
          if (weight === 0) return;
          for (const [term, share] of terms) slopes[term][b] += share * weight;
          for (let r = 0; r < runs; r++) {
            const score = kernel.scores[b * runs + r] + kernel.offsets[m * runs + r];
            solved[r] += weight * signal * score / (signal * kernel.values[r] + noise[b]);
          }
        }));
        for (let i = 0; i < runs; i++) {
          let averaged = 0;
          for (let r = 0; r < runs; r++) averaged += kernel.vectors[i * runs + r] * solved[r];
          level[b] += this.level * averaged;
          for (const [term, share] of kernel.terms) coefficients[term][i * count + b] += share * averaged;
        }
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

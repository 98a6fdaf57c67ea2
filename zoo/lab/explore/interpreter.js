// Computes the programs that zoo/lab/explore/instructions.py writes, on flat arrays of 32-bit floats.
// Sums are accumulated in 64 bits.
"use strict";

const ELEMENTWISE = {
  identity: (a) => a,
  abs: Math.abs, cos: Math.cos, exp: Math.exp, expm1: Math.expm1, log: Math.log, log1p: Math.log1p,
  sin: Math.sin, sqrt: Math.sqrt, tanh: Math.tanh,
  neg: (a) => -a,
  reciprocal: (a) => 1 / a,
  rsqrt: (a) => 1 / Math.sqrt(a),
  relu: (a) => (a < 0 ? 0 : a),
  sigmoid: (a) => 1 / (1 + Math.exp(-a)),
  silu: (a) => a / (1 + Math.exp(-a)),
  softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  elu: (a, alpha) => (a > 0 ? a : alpha * Math.expm1(a)),
  leaky_relu: (a, slope) => (a > 0 ? a : slope * a),
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: Math.pow,
  maximum: (a, b) => Math.max(a, b),
  minimum: (a, b) => Math.min(a, b),
  eq: (a, b) => Number(a === b),
  ne: (a, b) => Number(a !== b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  gt: (a, b) => Number(a > b),
  ge: (a, b) => Number(a >= b),
  where: (condition, a, b) => (condition ? a : b),
};

// Visits every element of nested loops, outermost first, with the position of each of up to three operands.
function visit(size, strides, offsets, each) {
  const [outer, length] = [size.slice(0, -1), size[size.length - 1]];
  const step = [0, 1, 2].map((k) => (strides[k] ? strides[k][outer.length] : 0));
  const count = outer.map(() => 0);
  const start = [0, 1, 2].map((k) => offsets[k] || 0);
  const rows = outer.reduce((a, b) => a * b, 1);
  for (let row = 0, i = 0; row < rows; row++) {
    let [a, b, c] = start;
    for (const end = i + length; i < end; i++, a += step[0], b += step[1], c += step[2]) each(i, a, b, c);
    for (let d = outer.length - 1; d >= 0; d--) {
      strides.forEach((stride, k) => { start[k] += stride[d]; });
      if (++count[d] < outer[d]) break;
      strides.forEach((stride, k) => { start[k] -= stride[d] * outer[d]; });
      count[d] = 0;
    }
  }
}

const INSTRUCTIONS = {
  map({ f, size, strides, offsets }, out, inputs) {
    const apply = ELEMENTWISE[f];
    const [x, y, z] = inputs;
    const each = [
      null,
      (i, a) => { out[i] = apply(x[a]); },
      (i, a, b) => { out[i] = apply(x[a], y[b]); },
      (i, a, b, c) => { out[i] = apply(x[a], y[b], z[c]); },
    ][inputs.length];
    visit(size, strides, offsets, each);
  },

  reduce({ f, size, strides }, out, [x]) {
    const total = new Float64Array(out.length).fill(f === "max" ? -Infinity : 0);
    const each = f === "max"
      ? (i, a, o) => { total[o] = Math.max(total[o], x[a]); }
      : (i, a, o) => { total[o] += x[a]; };
    visit(size, strides, [0, 0], each);
    out.set(total);
  },

  cat({ rows, widths }, out, inputs) {
    for (let row = 0, at = 0; row < rows; row++) {
      inputs.forEach((a, k) => {
        out.set(a.subarray(row * widths[k], (row + 1) * widths[k]), at);
        at += widths[k];
      });
    }
  },

  matmul({ size: [batch, M, K, N] }, out, [a, b]) {
    const total = new Float64Array(N);
    for (let row = 0; row < batch * M; row++) {
      total.fill(0);
      const matrix = Math.floor(row / M) * K * N;
      for (let k = 0; k < K; k++) {
        const factor = a[row * K + k];
        if (factor === 0) continue;  // after a ReLU, half of them
        for (let n = 0, at = matrix + k * N; n < N; n++, at++) total[n] += factor * b[at];
      }
      out.set(total, row * N);
    }
  },

  // Position p of the smaller map and tap k of the kernel meet position p * stride - padding + k * dilation of the
  // larger map. A convolution reads the larger map and writes the smaller one, a transposed convolution the reverse.
  convolution({ shapes, stride, padding, dilation, transposed, groups }, out, [x, weight]) {
    const [[batch, inputs, ...inSize], [, , ...kernel], [, outputs, ...outSize]] = shapes;
    const [small, large] = transposed ? [inSize, outSize] : [outSize, inSize];
    const [inArea, outArea] = [inSize[0] * inSize[1], outSize[0] * outSize[1]];
    const [inputsEach, outputsEach] = [inputs / groups, outputs / groups];
    const total = new Float64Array(outArea);

    // The positions of the smaller map, [first, end), that a tap leads to a position of the larger one.
    const range = (d, start) => [
      Math.max(0, Math.ceil(-start / stride[d])),
      Math.min(small[d], Math.floor((large[d] - 1 - start) / stride[d]) + 1),
    ];

    function tap(factor, ky, kx, image) {
      const [top, left] = [ky * dilation[0] - padding[0], kx * dilation[1] - padding[1]];
      const [firstRow, endRow] = range(0, top);
      const [first, end] = range(1, left);
      const step = stride[1];
      for (let row = firstRow; row < endRow; row++) {
        let near = row * small[1] + first;
        let far = (row * stride[0] + top) * large[1] + first * step + left;
        const stop = near + end - first;
        if (transposed) for (near += image; near < stop + image; near++, far += step) total[far] += factor * x[near];
        else for (far += image; near < stop; near++, far += step) total[near] += factor * x[far];
      }
    }

    for (let n = 0; n < batch; n++) {
      for (let o = 0; o < outputs; o++) {
        total.fill(0);
        const group = Math.floor(o / outputsEach);
        for (let i = group * inputsEach; i < (group + 1) * inputsEach; i++) {
          const filter = transposed ? i * outputsEach + (o % outputsEach) : o * inputsEach + (i % inputsEach);
          let at = filter * kernel[0] * kernel[1];
          for (let ky = 0; ky < kernel[0]; ky++) {
            for (let kx = 0; kx < kernel[1]; kx++) tap(weight[at++], ky, kx, (n * inputs + i) * inArea);
          }
        }
        out.set(total, (n * outputs + o) * outArea);
      }
    }
  },

  rows({ width }, out, [table, index]) {
    index.forEach((row, i) => out.set(table.subarray(row * width, (row + 1) * width), i * width));
  },
};

// From base64 to 32-bit floats.
function floats(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

// A function of arrays, one for each input, that returns an array for each output.
function network(program, weights) {
  const constants = program.constants.map(([slot, start, length]) => [slot, weights.subarray(start, start + length)]);
  return (...inputs) => {
    const slots = [];
    for (const [slot, values] of constants) slots[slot] = values;
    program.inputs.forEach((slot, i) => { slots[slot] = Float32Array.from(inputs[i]); });
    for (const step of program.steps) {
      slots[step.out] = new Float32Array(step.length);
      INSTRUCTIONS[step.op](step, slots[step.out], step.in.map((slot) => slots[slot]));
    }
    return program.outputs.map((slot) => slots[slot]);
  };
}

if (typeof module !== "undefined") module.exports = { floats, network };

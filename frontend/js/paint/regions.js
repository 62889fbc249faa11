/**
 * The largest connected regions of a mask, and in each a point to write at.
 *
 * @import { ClassScheme } from '../core/class_scheme.js'
 * @import { Mask } from '../core/mask.js'
 *
 * @typedef {object} Region
 * @property {number} classId
 * @property {number} share Of the whole mask, 0 to 1.
 * @property {number} x Of a point well inside, 0 to 1.
 * @property {number} y
 */

const MOST_CELLS_A_ROW = 160;
const LEAST_SHARE = 0.01;
/** How far a point moves from the widest place towards the region's middle: there it jumps less from frame to frame. */
const PULL_TO_MIDDLE = 0.25;
const NOWHERE = -1;

/** Looks at a coarse grid of the mask's pixels. It keeps what it needs from call to call. */
export class RegionFinder {
  #columns = 0;
  #rows = 0;
  #classIds = new Uint8Array(0);
  /** For each cell, one that is nearer to the cell that stands for its region. */
  #parents = new Int32Array(0);
  /** How many cells it is to the region's edge. */
  #depths = new Uint16Array(0);
  // Of the region that a cell stands for.
  #sizes = new Uint32Array(0);
  #sumsX = new Uint32Array(0);
  #sumsY = new Uint32Array(0);
  #bestScores = new Float32Array(0);
  #bestCells = new Int32Array(0);

  /**
   * @param {Mask} mask
   * @param {ClassScheme} scheme
   * @param {number} most
   * @returns {Region[]} The largest first; none that is less than a hundredth of the mask, or of a class that is not drawn.
   */
  find(mask, scheme, most) {
    this.#sample(mask);
    this.#connect();
    this.#measure();
    const regions = this.#largest(scheme, most);
    for (const root of regions) this.#bestScores[root] = -Infinity;
    this.#choosePoints();
    return regions.map((root) => this.#describe(root));
  }

  /** @param {Mask} mask */
  #sample({ widthPx, heightPx, classIds }) {
    const stride = Math.max(1, Math.ceil(widthPx / MOST_CELLS_A_ROW));
    this.#resize(Math.ceil(widthPx / stride), Math.ceil(heightPx / stride));
    const middle = stride >> 1;
    for (let row = 0, cell = 0; row < this.#rows; row += 1) {
      const y = Math.min(heightPx - 1, row * stride + middle);
      for (let column = 0; column < this.#columns; column += 1, cell += 1) {
        this.#classIds[cell] = classIds[y * widthPx + Math.min(widthPx - 1, column * stride + middle)];
      }
    }
  }

  /**
   * @param {number} columns
   * @param {number} rows
   */
  #resize(columns, rows) {
    if (this.#columns === columns && this.#rows === rows) return;
    const cells = columns * rows;
    this.#columns = columns;
    this.#rows = rows;
    this.#classIds = new Uint8Array(cells);
    this.#parents = new Int32Array(cells);
    this.#depths = new Uint16Array(cells);
    this.#sizes = new Uint32Array(cells);
    this.#sumsX = new Uint32Array(cells);
    this.#sumsY = new Uint32Array(cells);
    this.#bestScores = new Float32Array(cells);
    this.#bestCells = new Int32Array(cells);
  }

  /** Joins neighbours of one class. */
  #connect() {
    const columns = this.#columns;
    for (let row = 0, cell = 0; row < this.#rows; row += 1) {
      for (let column = 0; column < columns; column += 1, cell += 1) {
        this.#parents[cell] = cell;
        if (column > 0 && this.#areSame(cell, cell - 1)) this.#join(cell, cell - 1);
        if (row > 0 && this.#areSame(cell, cell - columns)) this.#join(cell, cell - columns);
      }
    }
  }

  /** Counts each region's cells, finds its middle, and how deep in it each cell lies. */
  #measure() {
    const columns = this.#columns;
    this.#sizes.fill(0);
    this.#sumsX.fill(0);
    this.#sumsY.fill(0);
    for (let row = 0, cell = 0; row < this.#rows; row += 1) {
      for (let column = 0; column < columns; column += 1, cell += 1) {
        const root = this.#rootOf(cell);
        this.#sizes[root] += 1;
        this.#sumsX[root] += column;
        this.#sumsY[root] += row;
        const isInside = column > 0 && column < columns - 1 && row > 0;
        this.#depths[cell] = isInside ? this.#depthBeyond(cell, -1) : 1;
      }
    }
    for (let row = this.#rows - 1, cell = this.#depths.length - 1; row >= 0; row -= 1) {
      for (let column = columns - 1; column >= 0; column -= 1, cell -= 1) {
        const isInside = column > 0 && column < columns - 1 && row < this.#rows - 1;
        this.#depths[cell] = isInside ? Math.min(this.#depths[cell], this.#depthBeyond(cell, 1)) : 1;
      }
    }
  }

  /**
   * How deep a cell can lie after those neighbours that were visited before it.
   *
   * @param {number} cell
   * @param {1 | -1} side Where those are.
   */
  #depthBeyond(cell, side) {
    const columns = this.#columns;
    let depth = this.#depthAt(cell, cell + side);
    for (let across = -1; across <= 1; across += 1) depth = Math.min(depth, this.#depthAt(cell, cell + side * columns + across));
    return depth + 1;
  }

  /**
   * @param {number} cell
   * @param {number} neighbour
   */
  #depthAt(cell, neighbour) {
    return this.#areSame(cell, neighbour) ? this.#depths[neighbour] : 0;
  }

  /**
   * @param {ClassScheme} scheme
   * @param {number} most
   */
  #largest(scheme, most) {
    const least = Math.max(1, LEAST_SHARE * this.#sizes.length);
    /** @type {number[]} */
    const roots = [];
    for (let cell = 0; cell < this.#sizes.length; cell += 1) {
      this.#bestScores[cell] = Infinity; // No point is looked for where none is asked for.
      this.#bestCells[cell] = NOWHERE;
      if (this.#sizes[cell] >= least && scheme.isDrawn(this.#classIds[cell])) roots.push(cell);
    }
    return roots.sort((a, b) => this.#sizes[b] - this.#sizes[a]).slice(0, most);
  }

  /** The widest place of each region, nearer to its middle where many are as wide. */
  #choosePoints() {
    for (let row = 0, cell = 0; row < this.#rows; row += 1) {
      for (let column = 0; column < this.#columns; column += 1, cell += 1) {
        const root = this.#rootOf(cell);
        const best = this.#bestScores[root];
        if (this.#depths[cell] <= best) continue; // The middle can only take from it.
        const size = this.#sizes[root];
        const away = Math.hypot(column - this.#sumsX[root] / size, row - this.#sumsY[root] / size);
        const score = this.#depths[cell] - PULL_TO_MIDDLE * away;
        if (score <= best) continue;
        this.#bestScores[root] = score;
        this.#bestCells[root] = cell;
      }
    }
  }

  /**
   * @param {number} root
   * @returns {Region}
   */
  #describe(root) {
    const cell = this.#bestCells[root];
    return {
      classId: this.#classIds[root],
      share: this.#sizes[root] / this.#sizes.length,
      x: ((cell % this.#columns) + 0.5) / this.#columns,
      y: (Math.floor(cell / this.#columns) + 0.5) / this.#rows,
    };
  }

  /**
   * @param {number} a
   * @param {number} b
   */
  #areSame(a, b) {
    return this.#classIds[a] === this.#classIds[b];
  }

  /**
   * @param {number} a
   * @param {number} b
   */
  #join(a, b) {
    const [rootA, rootB] = [this.#rootOf(a), this.#rootOf(b)];
    this.#parents[Math.max(rootA, rootB)] = Math.min(rootA, rootB);
  }

  /** @param {number} cell */
  #rootOf(cell) {
    const parents = this.#parents;
    while (parents[cell] !== cell) {
      parents[cell] = parents[parents[cell]]; // Shortens the way for the next one.
      cell = parents[cell];
    }
    return cell;
  }
}

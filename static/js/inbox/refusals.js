// When a page is told that its token was refused: once per token, at once the first time, and later each time none has worked
// in between, so that a page which answers at once with another token that is refused does not go round and round.

const MAX_WAIT_MS = 60_000;

export class Refusals {
  #count = 0; // one after the other

  // A token works.
  worked() {
    this.#count = 0;
  }

  // → what to call when this token is refused, however often. `signal`: it is no longer used.
  of(signal, tell) {
    let isTold = false;
    return () => {
      if (isTold || signal.aborted) return;
      isTold = true;
      const waitMs = this.#count === 0 ? 0 : Math.min(1000 * 2 ** this.#count, MAX_WAIT_MS);
      this.#count += 1;
      setTimeout(() => signal.aborted || tell(), waitMs);
    };
  }
}

let last = 0;

/** A number that no picture of any source had before: whoever paints knows by it what is new. */
export function nextVersion() {
  last += 1;
  return last;
}

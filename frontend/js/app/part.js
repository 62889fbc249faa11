/**
 * An element with a class and a text. Whatever the text holds, it stays text.
 *
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 */
export function part(tag, className, text = '') {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

/**
 * A list with an item for each text.
 *
 * @param {string} className
 * @param {string[]} lines
 */
export function texts(className, lines) {
  const list = part('ul', className);
  list.append(...lines.map((line) => part('li', '', line)));
  return list;
}

/**
 * The WebSocket address that somebody means who types a server's name: the scheme and `/ws` are added where they are missing.
 *
 * @param {string} typed As in `lab.example:8080` or `wss://lab.example/segue/ws`; empty means the
 *   server that the page came from.
 * @param {string} pageUrl The page's own address.
 * @returns {string | null} Null where it can't be an address.
 */
export function serverAddress(typed, pageUrl) {
  const page = new URL(pageUrl);
  const text = typed.trim();
  const scheme = page.protocol === 'https:' ? 'wss:' : 'ws:';
  if (text === '') return `${scheme}//${page.host}/ws`;
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  let url;
  try {
    url = new URL(hasScheme ? text : `${scheme}//${text.replace(/^\/+/, '')}`);
  } catch {
    return null;
  }
  if (url.protocol === 'http:') url.protocol = 'ws:';
  if (url.protocol === 'https:') url.protocol = 'wss:';
  // Some browsers escape what no host's name may have, such as a space.
  const isHost = url.hostname !== '' && !url.hostname.includes('%');
  if (!/^wss?:$/.test(url.protocol) || !isHost || url.username !== '' || url.password !== '') return null;
  url.hash = '';
  url.search = '';
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith('/ws') ? path : `${path}/ws`;
  return url.href;
}

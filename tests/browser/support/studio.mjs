import { readFileSync } from 'node:fs';
import { browserOf } from './browsers.mjs';
import { SegueServer } from './segue_server.mjs';

/** Served beside the page's own modules. */
const MODULES = ['easel.mjs', 'paint_oracle.mjs'];

/** A document of a server in a browser, with the page's modules and the easel but without the page. */
export class Studio {
  /** What the console and the browser complained about. */
  complaints = [];

  constructor(page) {
    this.page = page;
    page.on('console', (message) => message.type() === 'error' && this.complaints.push(message.text()));
    page.on('pageerror', (error) => this.complaints.push(String(error)));
  }

  static async open(t) {
    const server = await SegueServer.startFor(t);
    const browser = await browserOf();
    return Studio.at(await browser.newPage(), new URL('/blank', server.url).href);
  }

  /** In this page: any document of the server will do, this one neither connects nor asks for anything. */
  static async at(page, url) {
    await page.route('**/test/*.mjs', (route) => {
      const name = MODULES.find((module) => route.request().url().endsWith(`/${module}`));
      return name ? route.fulfill({ contentType: 'text/javascript', body: readFileSync(new URL(name, import.meta.url)) }) : route.abort();
    });
    await page.route('**/blank', (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>Studio</title>' }));
    await page.goto(url);
    return new Studio(page);
  }

  /** Runs a function in the browser that is given the easel's module as `easel`, and what else it needs. */
  async run(work, argument = {}) {
    const easel = await this.page.evaluateHandle(() => import('/test/easel.mjs'));
    return this.page.evaluate(work, { easel, ...argument });
  }
}

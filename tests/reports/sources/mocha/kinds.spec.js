'use strict';
const assert = require('node:assert');

it('passes at the top', () => {});
describe('kinds', () => {
  it('passes', () => { console.log('said something'); });
  it('fails', () => { assert.strictEqual(1, 2, 'one is not two'); });
  it('raises', () => { throw new Error('no\u0008thing'); });
  it.skip('is skipped', () => {});
  it('is to do');
  it('skips itself', function () { this.skip(); });
  for (const number of [1, 2, 3]) it('of numbers', () => { assert.notStrictEqual(number, 2); });
  for (const number of [1, 2, 3]) it('of equals', () => { assert.ok(number); });
  let tries = 0;
  it('is flaky', function () { this.retries(2); tries += 1; assert.strictEqual(tries, 2); });
  describe('inner', () => { it('passes', () => {}); it('fails', () => { throw new Error('deeper'); }); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});
describe('broken before', () => {
  before(() => { throw new Error('no database'); });
  it('never runs', () => {});
});
describe('broken after', () => {
  afterEach(() => { throw new Error('still open'); });
  it('passes', () => {});
  it('never runs', () => {});
});

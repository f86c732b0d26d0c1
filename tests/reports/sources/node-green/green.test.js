'use strict';
const { test, describe, it } = require('node:test');
test('passes', () => {});
test('is skipped', { skip: 'not now' }, () => {});
test('is to do', { todo: 'later' }, () => {});
test('is to do and fails', { todo: true }, () => { throw new Error('not yet'); });
for (const number of [1, 2, 3]) test('of equals', () => number);
test('nested', async (t) => {
  await t.test('passes', () => {});
  await t.test('is to do and fails', { todo: true }, () => { throw new Error('not yet'); });
});
describe('suite', () => {
  it('passes', () => {});
  describe('inner', () => { it('passes', () => {}); it('passes too', () => {}); it('is skipped', { skip: true }, () => {}); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});

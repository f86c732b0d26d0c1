'use strict';
describe('kinds', () => {
  it('passes', () => {});
});

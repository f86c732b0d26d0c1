test('passes', () => { console.log('said something'); });
test('fails', () => { expect(1).toBe(2); });
test('raises', () => { throw new Error('no\u0008thing'); });
test.skip('is skipped', () => {});
test.todo('is to do');
test.failing('fails as expected', () => { throw new Error('known'); });
test.failing('passes unexpectedly', () => {});
it.each([1, 2, 3])('of numbers', (number) => { expect(number).not.toBe(2); });
it.each([1, 2, 3])('of equals', (number) => { expect(number).toBeTruthy(); });
describe('suite', () => {
  it('passes', () => {});
  describe('inner', () => { it('passes', () => {}); it('fails', () => { throw new Error('deeper'); }); });
  describe.skip('skipped suite', () => { it('never runs', () => {}); });
});
describe('broken before', () => {
  beforeAll(() => { throw new Error('no database'); });
  it('passes', () => {});
});
describe('broken after', () => {
  afterAll(() => { throw new Error('still open'); });
  it('passes', () => {});
});

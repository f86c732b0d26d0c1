test('passes', () => {});
test.skip('is skipped', () => {});
test.todo('is to do');
test.failing('fails as expected', () => { throw new Error('known'); });
it.each([1, 2, 3])('of equals', () => {});
describe('suite', () => { describe('inner', () => { it('passes', () => {}); it.skip('is skipped', () => {}); }); });

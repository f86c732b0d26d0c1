Deno.test('passes', () => { console.log('said something'); });
Deno.test('fails', () => { throw new Error('one is not two'); });
Deno.test('raises', () => { null.nothing; });
Deno.test.ignore('is ignored', () => {});
for (const number of [1, 2, 3]) Deno.test('of numbers', () => { if (number === 2) throw new Error('two'); });
for (const number of [1, 2, 3]) Deno.test('of equals', () => number);
Deno.test('nested', async (t) => {
  await t.step('passes', () => {});
  await t.step({ name: 'is ignored', ignore: true, fn: () => {} });
  await t.step('inner', async (t) => { await t.step('passes', () => {}); await t.step('fails', () => { throw new Error('deeper'); }); });
});

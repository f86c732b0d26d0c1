Deno.test('passes', () => {});
Deno.test.ignore('is ignored', () => {});
for (const number of [1, 2, 3]) Deno.test('of equals', () => number);
Deno.test('nested', async (t) => {
  await t.step('passes', () => {});
  await t.step({ name: 'is ignored', ignore: true, fn: () => {} });
  await t.step('inner', async (t) => { await t.step('passes', () => {}); });
});

Deno.test('passes', () => {});

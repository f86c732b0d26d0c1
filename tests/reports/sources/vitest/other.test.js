import { it, test } from 'vitest';
test('passes', () => {});
it.each([1, 2])('of equals', () => {});

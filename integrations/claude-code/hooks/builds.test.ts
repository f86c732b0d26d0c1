import { expect, mock, test } from 'claude-code/testing'

const SESSION = { cwd: '/project/src', surface: 'terminal', isInteractive: true } as const
const PROPS = { text: null, isManaged: false, isWorking: true, maxRows: 5, columns: 98 }
const LINE = { plugin: 'guardkit', surface: 'terminal', component: 'StatusLine' } as const
const RUNNING = 'running: Wave 1/1, TASK-7 (Turn 2/5, Coach Validation) - 4m 5s elapsed'
const CRASHED = 'crashed: Wave 1/1, TASK-7 (Turn 2/5, Coach Validation) - 4m 9s elapsed\nit has ended'

/** Stands for the engine beneath the mod, and for the command: what it was asked, and told. */
function beneath(on, statusLine?: { command: string }) {
  const world = { says: '', fails: '', asked: [], toasts: [], clock: mock.clock(on) }
  on('session.start', (_, e) => ({ cwd: e.cwd }))
  on('session.root', () => ({ value: '/project' }))
  on('session.cwd', () => ({ value: '/project/src' }))
  on('settings.read', () => ({ value: { statusLine } }))
  on('ui.toast', (_, e) => (world.toasts.push(e.text), { value: undefined }))
  on('process.run', (_, e) => {
    world.asked.push(e)
    if (world.fails) return { deny: world.fails }
    const whole = { isStdoutTruncated: false, isStderrTruncated: false }
    return { value: { exitCode: 0, stdout: world.says, stderr: '', ...whole } }
  })
  on('ui.render', { component: 'StatusLine' }, ($, e) => {
    const { Box, Text } = $.ui.resolve(e)
    return h(Box, {}, h(Text, {}, e.props.text ?? ''))
  })
  return world
}

async function drawn($, text: string | null = null) {
  const ui = await $.ui.mount({ ...LINE, props: { ...PROPS, text } })
  const found = await ui.find({ type: 'Text' })
  await ui.unmount()
  return found.text
}

test('what the command prints is drawn, and asked for every two seconds', async ($, on) => {
  const world = beneath(on)
  world.says = `${RUNNING}\n`
  await $.session.start(SESSION)
  await world.clock.settle()
  expect(await drawn($)).toBe(RUNNING)
  world.says = `${CRASHED}\n`
  await world.clock.advance(1999)
  expect(await drawn($)).toBe(RUNNING)
  await world.clock.advance(1)
  expect(await drawn($)).toBe(CRASHED)
  world.says = ''
  await world.clock.advance(2000)
  expect(await drawn($)).toBe('')
})

test('the command is told which project it is, and how wide the line', async ($, on) => {
  const world = beneath(on)
  await $.session.start(SESSION)
  await world.clock.settle()
  await drawn($)
  await world.clock.advance(2000)
  const { argv, init } = world.asked.at(-1)
  expect(argv).toEqual(['guardkit-statusline'])
  expect(JSON.parse(init.stdin)).toEqual({
    workspace: { project_dir: '/project', current_dir: '/project/src' },
  })
  expect(init.env).toEqual({ COLUMNS: '98' })
})

test('another status line stays, above', async ($, on) => {
  const world = beneath(on, { command: 'other' })
  world.says = RUNNING
  await $.session.start(SESSION)
  await world.clock.settle()
  expect(await drawn($, 'theirs')).toBe(`theirs\n${RUNNING}`)
})

test('nothing is drawn twice where the settings have our status line', async ($, on) => {
  const world = beneath(on, { command: '/venv/bin/guardkit-statusline' })
  world.says = RUNNING
  await $.session.start(SESSION)
  await world.clock.settle()
  expect(await drawn($, RUNNING)).toBe(RUNNING)
  expect(world.asked).toEqual([])
})

test('a command that cannot be run is told of once, and leaves no old line', async ($, on) => {
  const world = beneath(on)
  world.says = RUNNING
  await $.session.start(SESSION)
  await world.clock.settle()
  world.fails = 'no such command'
  await world.clock.advance(6000)
  expect(await drawn($)).toBe('')
  expect(world.toasts).toEqual(['guardkit-statusline does not answer: is guardkit on the PATH?'])
  world.fails = ''
  await world.clock.advance(2000)
  expect(await drawn($)).toBe(RUNNING)
})

test('without a person at the prompt nothing is asked', async ($, on) => {
  const world = beneath(on)
  await $.session.start({ ...SESSION, surface: null, isInteractive: false })
  await world.clock.advance(4000)
  expect(world.asked).toEqual([])
})

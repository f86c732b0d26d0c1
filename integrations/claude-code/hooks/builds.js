// Draws the running builds of the project below the prompt, as `guardkit-statusline` tells of them.
// It reads nothing itself, so that the two cannot disagree.

const COMMAND = "guardkit-statusline"
const EVERY = 2000 // milliseconds between two looks
const PATIENCE = 10000 // milliseconds for one

/** Returns the lines for the project of the session, "" where no build runs or has just ended. */
async function look($, columns) {
  const workspace = { project_dir: await $.session.root(), current_dir: await $.session.cwd() }
  const { stdout } = await $.process.run([COMMAND], {
    stdin: JSON.stringify({ workspace }),
    env: { COLUMNS: `${columns}` },
    timeoutMs: PATIENCE,
  })
  return stdout.trimEnd()
}

/** Returns whether the settings have our status line, which says the same. */
async function isThere($) {
  const line = await $.settings.read({ key: "statusLine" })
  return line?.command?.includes(COMMAND) ?? false
}

/** Draws what a look shows, now and every two seconds; that none can be had is told once. */
async function draw($, place) {
  const before = place.lines
  try {
    place.lines = (await isThere($)) ? "" : await look($, place.columns)
    place.isSilent = false
  } catch {
    place.lines = ""
    if (!place.isSilent) $.ui.toast(`${COMMAND} does not answer: is guardkit on the PATH?`)
    place.isSilent = true
  }
  if (place.lines !== before) $.ui.invalidate("ui.render")
  $.clock.after(EVERY, () => draw($, place))
}

/** @type {import('claude-code').Register} */
export const register = on => {
  const place = { columns: 80, lines: "", isSilent: false }

  on("session.start", ($, e, next) => {
    if (e.isInteractive) void draw($, place)
    return next(e)
  })

  on("ui.render", { component: "StatusLine" }, ($, e, next) => {
    place.columns = e.props.columns
    if (!place.lines) return next(e)
    const text = [e.props.text, place.lines].filter(Boolean).join("\n")
    return next({ ...e, props: { ...e.props, text } })
  })
}

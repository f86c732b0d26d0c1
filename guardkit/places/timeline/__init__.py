"""The timeline of a build: what was when, from its journal and the newest look, and as SVG.

```
run = runs(events)[-1]                                  # places.runs
timeline = make_timeline(Seen(run=run, look=look, since=age(look.snapshot, now)), tasks)
svg = draw(timeline, width=960, name=f"timeline-{n}", styled=False)
```
"""

"""What the figures mean, as BENCHMARKS.md says it below them."""

METHOD = """\
`jobrelay run` with default settings, but without `progress`. In each round everybody takes a turn with the same
events: *plain aiohttp*, that is one `ClientSession` with a connection for each request in flight, written as anybody
would write it; *our client*, the one that jobrelay uses; jobrelay; with `--against`, also *before*: another version
of it. Every second round goes backwards. Rates and CPU are medians, ratios those of neighbouring rounds. No two
events have the same variables, arguments, metadata or ids. All have their connections to the API server open before
the clock starts; answers are metadata alone for everybody. All processes share the cores, the broker and the API
server too: where together they need more of them than a bare client and the API server do, the ratio shows that,
however little of it is jobrelay's. *CPU of every process* says who needs them; *benchmark* is the process that posts
where plain requests are measured, and else publishes and looks. It looks every 100 ms, and more often just before the
end that the pace so far foretells: the end is seen to 5 ms, which is less than 1 % of a round.

A real API server is asked for what depends on it: *created*, *whole life*, and *a Job's end* without load, since it
lets no Job run without a pod. All else is about jobrelay's own processes, or about a broker. On RabbitMQ there is what
depends on its client: *created* with 64 in flight, *whole life*, *adapter alone*. The version before has no figure
where no process of it runs: one decision, and adapters alone.

- *Created*: one handler, from a full queue until every request is acknowledged, against the same Jobs posted; their
  pods do not run (no controllers, or a quota of no pods). With one in flight it is a quarter of the events.
- *Whole life*: one handler and one controller, until every terminal event is stored and every Job released, against
  POST and PATCH of the same Jobs until they are complete. Pods are shown to run for 0.2 s, no process is started;
  with a real API server they run `true`, and it is a quarter of the events.
- *Events of n bytes*: the size is that of variables. Above 16 kB the event goes into a Secret, and everybody makes
  three requests for a Job. At most 30 MB a round, and a round less.
- *Handlers*: each with 64 in flight, on one queue; a round less.
- *A Job's end*: from the answer to the PATCH that completes it until its event is at a subscriber, one Job at a time;
  0 where the event is there before the answer.
  *Under load*: while so many others a second are requested, run and end.
- *Tracked Jobs* have not ended. *Caught up*: what happened to Jobs while jobrelay was down is published. *Beside
  them*: a handler creates Jobs, and the controller follows and tells of these, too.
- *Decision*: of Jobs with 1,001 priorities in 20 services, half of them on 50 keys, while one has changed.
- *Let go*: Jobs that wait for a Job to end, from its end to the last answer, against PATCHes of the same Jobs beside
  a watch that is read and thrown away: whoever lets Jobs go has to see them end.
- *Idle*: resident memory of a process that has done nothing for 10 s.
- *Commands*: wall-clock time of a process, the best of five after one that is not counted. `submit` waits until the
  broker has confirmed.
- *Adapter alone*: in one process with nothing else, events of 1 kB, 64 in flight; decoding is part of consuming."""

"""Benchmarks of Plantree beside other OPC UA servers: `python -m bench`.

A benchmark is a module of this package that is named in `bench.__main__.BENCHMARKS` (its section of RESULTS.md has the
same name) and has

    def main(arguments: Sequence[str] | None = None) -> int

which takes at least `--quick`, measures, prints, and rewrites its section of RESULTS.md unless
`--quick` was given; it returns 0, or 1 when it failed, with one sentence on the terminal that says why. A module need
not write that itself. It defines

    def measure(rounds: int, quick: bool) -> Section

and leaves the rest to `bench.report`:

    def main(arguments: Sequence[str] | None = None) -> int:
        \"\"\"Run the benchmark; returns the exit code.\"\"\"
        return report.run("modbus", measure, __doc__, arguments, rounds=3)

    if __name__ == "__main__":
        sys.exit(main())

What `measure` keeps to:
- `rounds` times everything, peers in turn, a fresh process for each (`bench.processes`), so that what disturbs the
  machine disturbs all alike; `quick` means a minute at most in all, to see that it works.
- A figure is a `report.Samples`, one value a round; `str()` of it is the median with lowest and highest. A ratio is
  `ours.over(theirs)`, round by round.
- Every answer that is counted was checked (Good, complete, as many as asked for); else it raises BenchError or
  WireError.
- The client runs on `processes.CLIENT_CORES` (`processes.pin_client()`), servers on `processes.SERVER_CORES`; all on
  127.0.0.1, on `processes.free_port()`, in a temporary folder; every process is ended by its pid, whatever happens.
- It returns a `report.Section`: title, then paragraphs (Markdown) and tables in the order they are shown. With `rows`
  (key to title) the section ends with what limits each row, as a person wrote it in `limits.yaml` under the
  benchmark's name.
"""

/// In-process figures, one JSON line each; `run.py` sets them against the references.
///
/// Usage: iommud-bench smmu SECONDS | areas COUNT | backend IOMMUD

let arguments = CommandLine.arguments

switch arguments.dropFirst().first {
case "smmu":
    let seconds = arguments.dropFirst(2).first.flatMap(Double.init) ?? 0.5
    try TranslateBench().run(seconds: seconds)
    try TableBench().run(seconds: seconds)
case "areas":
    try AreaBench(count: arguments.dropFirst(2).first.flatMap { Int($0) } ?? 65_536).run()
case "backend":
    try TableBench().dirty()
    try BackendBench().run()
    try SubmissionBench(daemon: arguments.dropFirst(2).first ?? "iommud").run()
default:
    print("usage: iommud-bench smmu SECONDS | areas COUNT | backend IOMMUD")
}

import ArgumentParser
import JSONRPC

/// `iommuctl demo`: the main job of the daemon, step by step.
struct DemoCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Let an emulated device write into memory of this program through the SMMU, and show every step.")

    @OptionGroup var options: GlobalOptions

    @Option(help: "The device; by default the first that nobody has.")
    var device: String?

    func run(on daemon: Daemon) throws {
        var demo = Demo(daemon: daemon, story: Story(isShown: options.output == .table || !options.json))
        let result = try demo.run(device: device)
        if options.json { StandardOutput.write(result.text + "\n") }
    }
}

/// What the demonstration says while it goes on.
struct Story {
    let isShown: Bool
    private var number = 0

    init(isShown: Bool) {
        self.isShown = isShown
    }

    /// The heading of the next step.
    mutating func step(_ heading: String) {
        number += 1
        write("\(number). \(heading)\n")
    }

    /// What was called and what came back.
    func call(_ method: String, _ params: JSONValue, _ result: JSONValue) {
        write("   → \(method) \(params.text)\n   ← \(result.text)\n")
    }

    /// Lines below a step.
    func detail(_ text: String) {
        write(text.split(separator: "\n").map { "     \($0)\n" }.joined())
    }

    /// Words below a step, in lines that fit.
    func paragraph(_ text: String) {
        detail(Wrapping.indented(text, by: 0, width: terminal.width))
    }

    /// What there is to the right of where details begin.
    var terminal: Terminal {
        var terminal = Terminal.output
        terminal.width = terminal.width.map { $0 - 5 }
        return terminal
    }

    func pause() { write("\n") }

    private func write(_ text: String) {
        if isShown { StandardOutput.write(Printable.lines(text)) }
    }
}

import ArgumentParser
import JSONRPC

/// `iommuctl topology`
struct TopologyCommand: DaemonCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology", abstract: "Show SMMUs, groups and devices, and who has them.")

    @OptionGroup var options: GlobalOptions
    @OptionGroup var picture: PictureOptions

    @Flag(help: "Show what all PCI devices have in common, too: the window of software MSIs.")
    var full = false

    func run(on daemon: Daemon) throws {
        let topology = try daemon.call("topology.list")
        guard !picture.draw({ MachinePicture(Machine(topology)).picture }) else { return }
        options.output.show(topology) { MachineText.text(Machine($0), isFull: full) }
    }
}

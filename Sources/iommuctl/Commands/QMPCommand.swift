import ArgumentParser
import JSONRPC

/// `iommuctl qmp`
struct QMPCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "qmp", abstract: "Give devices to a QEMU that runs, and take them away.",
        discussion: """
            The monitor is one of QEMU's -qmp unix:PATH,server=on. Each device has an iommufd of its own, in a session \
            qmp-PID-ID that ends with QEMU: nothing takes an iommufd back from a process that runs, so a device that \
            was removed is free for others only then.
            """,
        subcommands: [Add.self, Remove.self])

    @OptionGroup var options: GlobalOptions

    /// What both need.
    struct Target: ParsableArguments {
        @Argument(help: "The socket of QEMU's monitor.")
        var monitor: String

        @Argument(help: "The device.")
        var name: String

        @Option(help: "What the machine calls it (default: made of the name).")
        var id: String?

        /// QEMU's ids begin with a letter and have letters, digits, `-`, `.` and `_`.
        func identifier() throws(Failure) -> String {
            let id = id ?? "vfio-" + name.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }
            let isGood =
                id.first.map { $0.isASCII && $0.isLetter } == true
                && id.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-._".contains($0)) }
            guard isGood, id.utf8.count <= 48 else {
                throw .usage("“\(id)” is no id that QEMU takes; choose one with --id")
            }
            return id
        }
    }

    /// `getfd`, `object-add`, `getfd`, `device_add`.
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give it a device.")

        @OptionGroup var target: Target
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let id = try target.identifier()
            let monitor = try QEMUMonitor(path: target.monitor, patience: options.patience)
            var pid: Int32 = 0
            let process = try monitor.process(pid: &pid)
            let daemon = try options.connect()
            try DeviceCheck.allUsable([target.name], daemon)
            try daemon.enter(session: "qmp-\(pid)-\(id)")
            let params = JSONValue.object([
                .init(key: "names", value: .array([.string(target.name)])),
                .init(key: "for_process", value: .bool(true)),
            ])
            _ = try daemon.call("fd.export", params, descriptors: [process.number])
            let descriptors = daemon.takeDescriptors()
            guard descriptors.count == 2 else { throw ExecCommand.lost(descriptors.count, of: 2) }
            try monitor.add(id, iommufd: descriptors[0].number, node: descriptors[1].number)
            StandardOutput.write("\(target.name) is \(id) in the machine\n")
        }
    }

    /// `device_del`, `object-del`.
    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "del", abstract: "Take a device away, once the guest lets it go.")

        @OptionGroup var target: Target
        @OptionGroup var options: GlobalOptions

        func run() throws {
            let id = try target.identifier()
            // The guest takes its time.
            try QEMUMonitor(path: target.monitor, patience: options.patience).remove(id)
            StandardOutput.write("\(id) is out of the machine; \(target.name) is free when QEMU ends\n")
        }
    }
}

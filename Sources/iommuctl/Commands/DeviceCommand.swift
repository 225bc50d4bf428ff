import ArgumentParser
import Glibc
import Launch

/// `iommuctl device bind-vfio` and `iommuctl device release`; all else behind `device` is a method of the daemon.
struct DeviceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "device", abstract: "Devices: methods of the daemon, and which driver has them.",
        subcommands: [BindVFIO.self, Release.self])

    @OptionGroup var options: GlobalOptions

    /// Gives functions to vfio-pci.
    struct BindVFIO: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "bind-vfio", abstract: "Give PCI functions of this machine to vfio-pci, as root.",
            discussion: """
                All functions of an IOMMU group go together; bridges stay. Without --yes it only shows what would be \
                done. A function whose disk is mounted, that has the only default route or shows the console is left \
                alone without --force. The drivers are remembered in \(DriverChange.memory) for `device release`; \
                after a reboot iommud-vfio.service does it again for what /etc/iommud/vfio-devices lists.
                """)

        @Argument(help: "Addresses of functions: 0000:01:00.0.")
        var names: [String] = []

        @Option(help: "A file with one address a line; # begins a comment.")
        var from: String?

        @Flag(help: "Do it.")
        var yes = false

        @Flag(help: "Also what the machine needs as it is.")
        var force = false

        @OptionGroup var options: GlobalOptions

        func run() throws {
            let listed = try from.map(DeviceList.read) ?? []
            guard !(names + listed).isEmpty || from != nil else {
                throw Failure.usage("name a function to give to vfio-pci")
            }
            try DriverChanges.run(names + listed, isForReal: yes) { name throws(DriverChange.Refusal) in
                try DriverChange(taking: name, isForced: force, files: SystemFiles())
            }
        }
    }

    /// Gives functions back.
    struct Release: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give PCI functions of this machine back to their drivers, as root.",
            discussion: "All functions of an IOMMU group go together. Without --yes it only shows what would be done.")

        @Argument(help: "Addresses of functions: 0000:01:00.0.")
        var names: [String]

        @Flag(help: "Do it.")
        var yes = false

        @OptionGroup var options: GlobalOptions

        func run() throws {
            try DriverChanges.run(names, isForReal: yes) { name throws(DriverChange.Refusal) in
                try DriverChange(releasing: name, files: SystemFiles())
            }
        }
    }
}

/// A list of addresses in a file.
private enum DeviceList {
    static func read(_ path: String) throws(Failure) -> [String] {
        let text = String(decoding: try FileContents.read(path), as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            let name = line.prefix { $0 != "#" }.filter { !$0.isWhitespace }
            return name.isEmpty ? nil : String(name)
        }
    }
}

/// Changes of drivers, one group after the other: each whole or not at all.
private enum DriverChanges {
    static func run(
        _ names: [String], isForReal: Bool, _ look: (String) throws(DriverChange.Refusal) -> DriverChange
    ) throws {
        var isRefused = false
        var isNeeded = false
        for name in names {
            do throws(DriverChange.Refusal) {
                let change = try look(name)
                show(change, isForReal: isForReal)
                isNeeded = isNeeded || change.isNeeded
                if isForReal { try change.carryOut() }
            } catch {
                for line in text(of: error) { StandardOutput.writeError("iommuctl: \(line)\n") }
                isRefused = true
            }
        }
        guard !isRefused else { throw Failure.found }
        if isNeeded, !isForReal { StandardOutput.write("nothing was done; --yes does it\n") }
    }

    private static func show(_ change: DriverChange, isForReal: Bool) {
        for (function, step) in change.steps {
            let text =
                switch step {
                case .take(let former): "\(former ?? "no driver") → \(DriverChange.vfio)"
                case .giveBack(let former): "\(DriverChange.vfio) → \(former ?? "the driver that fits")"
                case .leave(let reason): "stays: \(reason)"
                }
            StandardOutput.write("\(function.name)  \(text)\n")
        }
    }

    private static func text(of refusal: DriverChange.Refusal) -> [String] {
        switch refusal {
        case .unknown(let name): ["this machine has no PCI function \(Printable.text(name))"]
        case .noGroup(let name): ["\(name) is in no IOMMU group: no IOMMU translates for it, or it is switched off"]
        case .noVFIO: ["the kernel has no \(DriverChange.vfio): modprobe \(DriverChange.vfio)"]
        case .inUse(let reasons): reasons.map { "\($0.name) is needed: \($0.reason); --force takes it all the same" }
        case .failed(let name, let problem):
            ["\(name): \(problem.path): \(String(cString: strerror(problem.errno))); all is as it was"]
        }
    }
}

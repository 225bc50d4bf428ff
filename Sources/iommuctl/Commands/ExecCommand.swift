import ArgumentParser
import Glibc
import JSONRPC
import Launch

/// `iommuctl exec`
struct ExecCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exec", abstract: "Run a program with an iommufd and devices of its own.",
        discussion: """
            The program inherits the iommufd as descriptor 3 and the nodes of the devices as 4 and on, and nothing \
            else but standard input, output and error. In its arguments {iommufd} and {NAME} stand for these numbers; \
            --qemu and --cloud-hypervisor write the options that those programs want, --libvirt prints the elements of \
            a domain's XML, and the program is what associates the descriptor: \
            `iommuctl exec --libvirt --device 0000:01:00.0 -- virsh dom-fd-associate vm iommufd --pass-fds {iommufd}`.

            iommuctl becomes the program: signals and the exit status are the program's own, and so is the process, \
            with which the session `exec-PID-N` ends. If anything is wrong with a device, all that is wrong is said \
            and nothing is run.
            """)

    @OptionGroup var options: GlobalOptions

    @Option(help: "A device that the program is to have; may be repeated.")
    var device: [String] = []

    @Flag(help: "The program is QEMU (8.2 or newer).")
    var qemu = false

    @Flag(help: "The program is cloud-hypervisor.")
    var cloudHypervisor = false

    @Flag(help: "The program talks to libvirt (12.2 or newer).")
    var libvirt = false

    @Flag(name: .customLong("print"), help: "Only show what would be run.")
    var isDryRun = false

    @Argument(parsing: .postTerminator, help: "The program and its arguments, behind --.")
    var command: [String] = []

    func run() throws {
        let plan = try plan()
        if plan.dialect == .libvirt {
            guard let text = DomainXML.text(devices: plan.devices) else {
                throw Failure.usage("libvirt knows PCI functions only, by addresses like 0000:01:00.0")
            }
            StandardOutput.write(text)
        }
        guard !plan.command.isEmpty else { return }
        guard !isDryRun else { return StandardOutput.write(CommandText.quoted(plan.arguments) + "\n") }
        try launch(plan)
    }

    private func plan() throws(Failure) -> LaunchPlan {
        let dialects = [(qemu, Dialect.qemu), (cloudHypervisor, .cloudHypervisor), (libvirt, .libvirt)]
        let chosen = dialects.filter(\.0).map(\.1)
        guard chosen.count <= 1 else { throw .usage("one of --qemu, --cloud-hypervisor and --libvirt is enough") }
        do throws(LaunchPlan.Mistake) {
            return try LaunchPlan(devices: device, command: command, dialect: chosen.first ?? .plain)
        } catch {
            throw .usage(error.description)
        }
    }

    private func launch(_ plan: LaunchPlan) throws {
        let daemon = try options.connect()
        try DeviceCheck.allUsable(plan.devices, daemon)
        try enterSession(daemon)
        let names = JSONValue.array(plan.exported.map(JSONValue.string))
        do throws(Failure) {
            _ = try daemon.call("fd.export", ["names": names])
        } catch {
            _ = try? daemon.call("session.close")
            throw error
        }
        let descriptors = daemon.takeDescriptors()
        guard descriptors.count == 1 + plan.exported.count else {
            throw Self.lost(descriptors.count, of: 1 + plan.exported.count)
        }
        // If it comes back, the session ends with this process.
        throw Failure.notStarted(
            plan.arguments[0], Successor.become(plan.arguments, inheriting: descriptors.map(\.number)))
    }

    /// Fewer descriptors came than were asked for.
    static func lost(_ count: Int, of all: Int) -> Failure {
        .unreachable(
            "fd.export: \(count) descriptors came in place of \(all)",
            hint: "this process may have too many open; see ulimit -n")
    }

    /// A session that nobody has: `exec-PID-N`.
    private func enterSession(_ daemon: Daemon) throws(Failure) {
        let sessions = try daemon.call("session.list")["sessions"]?.arrayValue ?? []
        let taken = Set(sessions.compactMap { $0["name"]?.stringValue })
        var number = 1
        while taken.contains("exec-\(getpid())-\(number)") { number += 1 }
        try daemon.enter(session: "exec-\(getpid())-\(number)")
    }
}

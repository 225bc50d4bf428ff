import ArgumentParser
import Glibc
import JSONRPC
import LinuxIO

/// `iommuctl cdi`
struct CDICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cdi", abstract: "Describe the devices for container engines (Container Device Interface).",
        discussion: """
            With --directory /var/run/cdi the file is where podman and containerd look: \
            `podman run --device iommud/device=NAME` gives a container the node of the device, if it has one, the \
            daemon's socket and IOMMUD_SOCKET; `iommud/device=socket` the socket alone. Without --directory the text \
            is printed. There is one file for each backend, mode 0644; that of another backend is removed.
            """)

    @OptionGroup var options: GlobalOptions

    @Option(help: "Where to write iommud-BACKEND.json.")
    var directory: String?

    @Flag(help: "Go on, and write it anew whenever devices come or go.")
    var watch = false

    func run() throws {
        guard directory != nil || !watch else { throw Failure.usage("--watch needs a --directory to keep up to date") }
        let daemon = try options.connect()
        if watch { _ = try daemon.call("events.subscribe", ["kinds": .array([.string("device")])]) }
        try write(of: daemon)
        while watch {
            _ = try daemon.nextNotification()
            try write(of: daemon)
        }
    }

    private func write(of daemon: Daemon) throws(Failure) {
        let text = ContainerSpecification(topology: try daemon.call("topology.list"), socket: daemon.path).text
        guard let directory else { return StandardOutput.write(text) }
        let backend = try daemon.call("daemon.info")["backend"]?.stringValue ?? ""
        guard ["emulated", "kernel"].contains(backend) else {
            throw .unreachable(
                "the daemon names no backend that is known here", hint: "use the iommuctl that came with it")
        }
        do throws(SystemError) {
            try Self.replace("\(directory)/iommud-\(backend).json", with: text)
        } catch {
            throw .unreachable("\(error)", hint: "name another directory, or write there as root")
        }
        _ = unlink("\(directory)/iommud-\(backend == "kernel" ? "emulated" : "kernel").json")
    }

    /// Whoever reads meanwhile finds the file as it was or as it is. One that says the same already is left alone.
    private static func replace(_ path: String, with text: String) throws(SystemError) {
        if let old = try? FileContents.read(path), old == Array(text.utf8) { return }
        // Hidden, so that nobody takes it for a second description of the same devices.
        let fresh = path.replacingLastComponent { ".\($0).\(getpid())" }
        do throws(SystemError) {
            let opened = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            guard opened >= 0 else { throw SystemError.current("open \(fresh)") }
            let file = Descriptor(adopting: opened)
            guard fchmod(file.number, 0o644) == 0 else { throw SystemError.current("chmod \(fresh)") }
            var bytes = Array(text.utf8)[...]
            while !bytes.isEmpty {
                let count = bytes.withUnsafeBytes { Glibc.write(file.number, $0.baseAddress, $0.count) }
                guard count > 0 else { throw SystemError.current("write \(fresh)") }
                bytes = bytes.dropFirst(count)
            }
            guard rename(fresh, path) == 0 else { throw SystemError.current("rename to \(path)") }
        } catch {
            unlink(fresh)
            throw error
        }
    }
}

extension String {
    fileprivate func replacingLastComponent(_ change: (Substring) -> String) -> String {
        guard let slash = lastIndex(of: "/") else { return change(self[...]) }
        return String(self[...slash]) + change(self[index(after: slash)...])
    }
}

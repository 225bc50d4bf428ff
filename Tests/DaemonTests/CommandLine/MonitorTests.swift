import Foundation
import JSONRPC
import TestSupport
import Testing

/// Devices of a QEMU that runs, by a monitor that plays one.
final class MonitorTests {
    private let daemon: RunningDaemon
    private let machine: ChildProcess
    private let input = Pipe()
    private let output = Pipe()
    private var monitor: String { daemon.directory + "/qmp.sock" }

    /// A monitor that keeps descriptors as QEMU does: the next getfd gets the first that waits. `bad` is a device that
    /// the machine has no place for.
    private static let qemu = #"""
        import array, json, socket, sys, threading
        def serve(connection):
            stash = {}
            def say(message): connection.sendall((json.dumps(message) + "\n").encode())
            say({"QMP": {"version": {}, "capabilities": []}})
            buffer, files = b"", []
            while True:
                data, ancillary, _, _ = connection.recvmsg(65536, 1024)
                if not data: return
                for _, _, payload in ancillary:
                    files += array.array("i", payload[:len(payload) // 4 * 4]).tolist()
                buffer += data
                while b"\n" in buffer:
                    line, buffer = buffer.split(b"\n", 1)
                    request = json.loads(line)
                    command, arguments = request["execute"], request.get("arguments", {})
                    print(command, json.dumps(arguments), len(files), flush=True)
                    if command == "getfd": stash[arguments["fdname"]] = files.pop(0)
                    if "fd" in arguments and stash.pop(arguments["fd"], None) is None or arguments.get("id") == "bad":
                        say({"error": {"class": "GenericError", "desc": "no such file or place"}})
                    else:
                        if command == "device_add": say({"event": "OTHER", "data": {}})
                        say({"return": {}})
                    if command == "device_del":
                        say({"event": "DEVICE_DELETED", "data": {"path": "/machine/x"}})
                        say({"event": "DEVICE_DELETED", "data": {"device": arguments["id"]}})
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(sys.argv[1])
        listener.listen()
        print("ready", flush=True)
        def accept():
            while True: threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        sys.stdin.readline()
        """#

    init() throws {
        daemon = try RunningDaemon(launcher: [BuiltProgram.directory + "/iommud-fake-kernel"])
        machine = try ChildProcess(
            "/usr/bin/env", ["python3", "-c", Self.qemu, daemon.directory + "/qmp.sock"],
            streams: (input.fileHandleForReading.fileDescriptor, output.fileHandleForWriting.fileDescriptor))
        _ = try line()
    }

    deinit {
        machine.signal(SIGKILL)
        machine.wait()
    }

    /// The next that the monitor has to say.
    private func line() throws -> String {
        var text = ""
        while !text.hasSuffix("\n") {
            let data = try #require(try output.fileHandleForReading.read(upToCount: 1))
            text += String(decoding: data, as: UTF8.self)
        }
        return String(text.dropLast())
    }

    private func qmp(_ arguments: String...) throws -> CommandLineRun {
        try CommandLineRun(daemon, ["qmp"] + arguments)
    }

    @Test func aDeviceComesWithItsOwnIOMMUFDAndGoes() throws {
        let added = try qmp("add", monitor, "vfio1")
        #expect(added.status == 0 && added.text == "vfio1 is vfio-vfio1 in the machine\n", "\(added.text)")
        let said = try (0..<5).map { _ in try line() }
        #expect(
            said == [
                #"qmp_capabilities {} 0"#, #"getfd {"fdname": "vfio-vfio1-iommufd"} 1"#,
                #"object-add {"qom-type": "iommufd", "id": "vfio-vfio1-iommufd", "fd": "vfio-vfio1-iommufd"} 0"#,
                #"getfd {"fdname": "vfio-vfio1"} 1"#,
                #"device_add {"driver": "vfio-pci", "id": "vfio-vfio1", "fd": "vfio-vfio1", "#
                    + #""iommufd": "vfio-vfio1-iommufd"} 0"#,
            ])
        let client = try daemon.connect()
        let session = try #require(
            try client.call("session.list")["sessions"]?.arrayValue?.first { $0["name"] != nil })
        let pid = try #require(session["delegated"]?["pid"]?.intValue)
        #expect(session["name"]?.stringValue == "qmp-\(pid)-vfio-vfio1")
        #expect(session["delegated"]?["program"]?.stringValue == "python3")
        #expect(try qmp("add", monitor, "vfio1").status == 1, "it is the machine's already")
        let removed = try qmp("del", monitor, "vfio1")
        #expect(removed.status == 0, "\(removed.text)")
        // It is the machine's until that ends.
        input.fileHandleForWriting.write(Data("\n".utf8))
        #expect(machine.wait() == 0)
        while try client.call("topology.list")["devices"]?.arrayValue?.contains(where: { $0["bound_by"] != nil })
            == true
        {}
    }

    @Test func whatTheMachineRefusesIsTakenOutAgain() throws {
        let refused = try qmp("add", monitor, "vfio0", "--id", "bad")
        #expect(refused.status == 2 && refused.text.contains("QEMU refuses device_add"), "\(refused.text)")
        let said = try (0..<6).map { _ in try line() }
        #expect(said.last == #"object-del {"id": "bad-iommufd"} 0"#)
        #expect(try qmp("add", monitor, "vfio0", "--id", "0x").status == 2)
        #expect(try qmp("add", daemon.socket, "vfio0").status == 2, "the daemon is no monitor")
    }
}

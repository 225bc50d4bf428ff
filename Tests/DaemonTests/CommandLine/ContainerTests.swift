import Foundation
import JSONRPC
import TestSupport
import Testing

/// The description of devices for container engines.
struct ContainerTests {
    private func run(_ daemon: RunningDaemon, _ arguments: String...) throws -> CommandLineRun {
        try CommandLineRun(daemon, ["cdi"] + arguments)
    }

    /// Of every device its name and what a container gets.
    private func devices(_ text: JSONValue?) throws -> [String: JSONValue] {
        let devices = try #require(text?["devices"]?.arrayValue)
        var found: [String: JSONValue] = [:]
        for device in devices {
            #expect(device.objectValue?.map(\.key) == ["name", "containerEdits"])
            let edits = try #require(device["containerEdits"]?.objectValue)
            #expect(!edits.isEmpty && edits.allSatisfy { $0.value.arrayValue?.isEmpty == false })
            found[try #require(device["name"]?.stringValue)] = device["containerEdits"]
        }
        #expect(found.count == devices.count)
        return found
    }

    @Test func nodesAndSocketAreGiven() throws {
        let daemon = try RunningDaemon(launcher: [BuiltProgram.directory + "/iommud-fake-kernel"])
        let text = try run(daemon).json
        #expect(text?.objectValue?.map(\.key) == ["cdiVersion", "kind", "devices", "containerEdits"])
        #expect(text?["cdiVersion"]?.stringValue == "0.3.0" && text?["kind"]?.stringValue == "iommud/device")
        let found = try devices(text)
        #expect(Set(found.keys) == ["socket", "vfio0", "vfio1", "vfio2"])
        let node = found["vfio1"]?["deviceNodes"]?[0]
        #expect(node?["path"]?.stringValue == "/dev/vfio/devices/vfio1" && node?["permissions"]?.stringValue == "rw")
        let all = text?["containerEdits"]
        #expect(all?["env"] == .array([.string("IOMMUD_SOCKET=\(daemon.socket)")]))
        #expect(all?["mounts"]?[0]?["hostPath"]?.stringValue == daemon.directory)
    }

    @Test func theFileIsReplacedWholeAndFollowsTheDevices() throws {
        let daemon = try RunningDaemon()
        let directory = daemon.directory + "/cdi"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        try "{}".write(toFile: directory + "/iommud-kernel.json", atomically: false, encoding: .utf8)
        #expect(try run(daemon, "--directory", directory).status == 0)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["iommud-emulated.json"])
        let path = directory + "/iommud-emulated.json"
        #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o644)
        func read() throws -> JSONValue { try JSONValue(parsing: [UInt8](Data(contentsOf: URL(filePath: path)))) }
        #expect(try read()["cdiVersion"]?.stringValue == "0.5.0")
        let watcher = try ChildProcess(
            BuiltProgram.iommuctl, ["cdi", "--watch", "--directory", directory],
            environment: ["IOMMUD_SOCKET": daemon.socket])
        defer {
            watcher.signal(SIGKILL)
            watcher.wait()
        }
        let client = try daemon.connect()
        // Whether it has subscribed is not told, so devices come until it has noticed.
        var number = 0
        while try devices(read())["late\(number)"] == nil {
            number += 1
            let device = #"{"name":"late\#(number)","smmu":"smmu0","stream_ids":[\#(5000 + number)]}"#
            _ = try client.call("device.add", JSONValue(parsing: device))
            for _ in 0..<50 where try devices(read())["late\(number)"] == nil { sched_yield() }
        }
        #expect(try run(daemon, "--watch").status == 2)
        #expect(try run(daemon, "--directory", directory + "/none").status == 2)
    }
}

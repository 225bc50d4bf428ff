import CLinux
import Foundation
import IOMMU
import JSONRPC
import KernelIOMMU
import KernelTestSupport
import LinuxIO
import Testing

@testable import IOMMUService

/// Sessions that a process drives through descriptors of its own: until when, and how the descriptors come there.
@Suite final class DelegationTests {
    private let kernel: FakeKernel
    private let bench: ServiceBench
    private let directory: String
    /// Plays the VMM: it lives until its input ends.
    private let vmm = Process()
    private let input = Pipe()

    init() throws {
        let devices = (0..<3).map { FakeDevice("/dev/vfio/devices/vfio\($0)", group: UInt32($0)) }
        kernel = FakeKernel(devices: devices)
        let work = try LoopWork()
        var configuration = Configuration()
        configuration.limits.offersPerUID = 3
        bench = try ServiceBench(
            backend: try KernelBackend(calls: kernel, inventory: FakeInventory(devices), executor: work),
            configuration: configuration, loop: work.loop)
        directory = FileManager.default.temporaryDirectory.appending(path: "offers-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        bench.service.serveOffers(besides: "\(directory)/iommud.sock")
        vmm.executableURL = URL(filePath: "/bin/cat")
        vmm.standardInput = input
        vmm.standardOutput = FileHandle.nullDevice
        try vmm.run()
    }

    deinit {
        try? input.fileHandleForWriting.close()
        vmm.terminate()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private func isFree(_ device: String, _ client: PlayedClient) throws -> Bool {
        let devices = try client.call("topology.list")["devices"]?.arrayValue
        return try #require(devices?.first { $0["name"]?.stringValue == device })["bound_by"] == nil
    }

    @Test func aDelegatedSessionEndsWithItsHolder() throws {
        let (client, other) = (try bench.connect(pid: vmm.processIdentifier), try bench.connect())
        try client.call("fd.export", #"{"names":["vfio1"]}"#)
        let listed = try other.call("session.list")["sessions"]?.arrayValue?.compactMap { $0["delegated"] }
        #expect(listed?.count == 1)
        #expect(listed?.first?["pid"]?.intValue == Int(vmm.processIdentifier))
        #expect(listed?.first?["program"]?.stringValue == "cat")
        client.disconnect()
        #expect(try !isFree("vfio1", other), "although its connection has ended")
        try input.fileHandleForWriting.close()
        try bench.proceed { try isFree("vfio1", other) }
        #expect(try other.call("session.list")["sessions"]?.arrayValue?.count == 1)
        try bench.run("device.bind {\"name\":\"vfio1\"}", on: other)
    }

    @Test func aNamedSessionIsClosedWithItsHolder() throws {
        let client = try bench.connect(pid: vmm.processIdentifier)
        try client.call("session.attach", #"{"name":"exec-1"}"#)
        try client.call("fd.export", #"{"names":["vfio0"]}"#)
        let other = try bench.connect()
        try other.call("session.attach", #"{"name":"exec-1"}"#)
        let error = try other.refusal("session.close", "{}")
        #expect(error.reason == "delegated" && error.message.contains("process \(vmm.processIdentifier) (cat)"))
        #expect(error.details.contains { $0.key == "program" && $0.value.stringValue == "cat" })
        try input.fileHandleForWriting.close()
        try bench.proceed {
            try other.call("session.list")["sessions"]?.arrayValue?.contains { $0["name"] != nil } == false
        }
        try bench.proceed { try isFree("vfio0", other) }
        try bench.run("ioas.alloc {}", on: client)
    }

    @Test func administratorsEndTheHolderByForce() throws {
        let user = try bench.connect(uid: 4321, pid: vmm.processIdentifier)
        try user.call("fd.export", #"{"names":[]}"#)
        try user.expect(EBUSY, "delegated", "session.close", "{}")
        try user.expect(EPERM, "not_allowed", "session.close", #"{"force":true}"#)
        #expect(vmm.isRunning)
        let own = try bench.connect(pid: vmm.processIdentifier)
        try own.call("session.attach", #"{"name":"vm"}"#)
        try own.call("fd.export", #"{"names":["vfio2"]}"#)
        let admin = try bench.connect()
        try admin.call("session.close", #"{"name":"vm","force":true}"#)
        #expect(try isFree("vfio2", admin))
        vmm.waitUntilExit()
        // SIGKILL where this process has SIGTERM blocked, which its children have, too.
        #expect(vmm.terminationReason == .uncaughtSignal && [SIGTERM, SIGKILL].contains(vmm.terminationStatus))
    }

    @Test func anotherProcessOfTheSameUserCanBeTheHolder() throws {
        let (client, other) = (try bench.connect(), try bench.connect(uid: 4321))
        let pidfd = try Descriptor(opened: clinux_pidfd_open(vmm.processIdentifier), "pidfd_open")
        let forVMM = #"{"names":["vfio0"],"for_process":true}"#
        try client.expect(EBADF, "descriptor_missing", "fd.export", forVMM)
        let file = try Descriptor(opening: "/dev/null", O_RDONLY)
        try client.expect(EINVAL, "not_a_pidfd", "fd.export", forVMM, descriptors: [file.number])
        try other.expect(EPERM, "not_allowed", "fd.export", forVMM, descriptors: [pidfd.number])
        #expect(try client.call("fd.export", forVMM, descriptors: [pidfd.number])["fds"]?.intValue == 2)
        client.disconnect()
        #expect(try !isFree("vfio0", other))
        try input.fileHandleForWriting.close()
        try bench.proceed { try isFree("vfio0", other) }
        vmm.waitUntilExit()
        let late = try bench.connect()
        try late.expect(ESRCH, "no_such_process", "fd.export", forVMM, descriptors: [pidfd.number])
    }

    // MARK: Offers

    /// As a launcher in a pod does.
    private func connect(_ path: String) throws -> PacketSocket {
        let socket = try Descriptor(opened: clinux_unix_socket(true), "socket")
        try SystemError.check(clinux_unix_connect(socket.number, path), "connect")
        return PacketSocket(adopting: socket)
    }

    /// What comes next, its descriptors closed; nil once the other side has closed the connection.
    private func receive(_ socket: borrowing PacketSocket) throws -> (bytes: [UInt8], descriptors: Int)? {
        let number = socket.descriptor.number
        while true {
            var bytes = [UInt8](repeating: 0, count: 16)
            var numbers = [Int32](repeating: -1, count: Int(CLINUX_SCM_MAX_FD))
            var ancillary = clinux_ancillary()
            let count = clinux_receive(number, &bytes, bytes.count, &numbers, &ancillary)
            for descriptor in numbers.prefix(Int(ancillary.fd_count)) { close(descriptor) }
            if count > 0 { return (Array(bytes.prefix(count)), Int(ancillary.fd_count)) }
            guard count == -Int(EAGAIN) else { return nil }
            try bench.proceed()
        }
    }

    private func offer(_ client: PlayedClient, _ names: String = "[]", _ more: String = "") throws -> String {
        let reply = try client.call("fd.offer", #"{"names":\#(names),"format":"kubevirt"\#(more)}"#)
        return try #require(reply["path"]?.stringValue)
    }

    @Test func anOfferIsTakenOnceAndDelegatesAtTheAcknowledgement() throws {
        let (client, other) = (try bench.connect(), try bench.connect())
        let path = try offer(client, #"["vfio0"]"#)
        let second = try offer(client)
        #expect(path.hasPrefix("\(directory)/iommud-offers/") && path.split(separator: "/").last?.utf8.count == 32)
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        #expect(attributes[.posixPermissions] as? Int == 0o660)
        let around = try FileManager.default.attributesOfItem(atPath: "\(directory)/iommud-offers")
        #expect(around[.posixPermissions] as? Int == 0o711)
        try other.expect(EBUSY, "group_owned_elsewhere", "device.bind", #"{"name":"vfio0"}"#)
        let launcher = try connect(path)
        let received = try #require(try receive(launcher))
        #expect(received.bytes == [0] && received.descriptors == 1)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try client.call("session.list")["sessions"]?.arrayValue?.contains { $0["delegated"] != nil } == false)
        try launcher.send([1])
        #expect(try receive(launcher) == nil)
        try client.expect(EBUSY, "delegated", "ioas.alloc", "{}")
        #expect(try client.call("session.list")["sessions"]?.arrayValue?.contains { $0["delegated"] != nil } == true)
        #expect(!FileManager.default.fileExists(atPath: second), "the session cannot be given twice")
    }

    @Test func withoutAnAcknowledgementNothingIsHandedOver() throws {
        let (client, other) = (try bench.connect(), try bench.connect())
        let path = try offer(client, #"["vfio0"]"#)
        do {
            let launcher = try connect(path)
            #expect(try receive(launcher)?.descriptors == 1)
        }
        try bench.proceed { try isFree("vfio0", other) }
        try bench.run("ioas.alloc {}\ndevice.bind {\"name\":\"vfio0\"}", on: client)
    }

    @Test func aSessionThatIsInUseIsNotHandedOver() throws {
        let client = try bench.connect()
        let path = try offer(client)
        try bench.run("ioas.alloc {}", on: client)
        let launcher = try connect(path)
        #expect(try receive(launcher) == nil, "no byte and no descriptor")
        try bench.run(
            "ioas.alloc {}\n> fd.offer {\"names\":[],\"format\":\"kubevirt\"} EBUSY session_not_empty", on: client)
    }

    @Test func offersEndWithTimeSessionAndDaemon() throws {
        let client = try bench.connect()
        let brief = try offer(client, "[]", #","timeout_seconds":1"#)
        let paths = [try offer(client), try offer(client)]
        try client.expect(EDQUOT, "quota_exceeded", "fd.offer", #"{"names":[],"format":"kubevirt"}"#)
        try bench.proceed { !FileManager.default.fileExists(atPath: brief) }
        #expect(paths.allSatisfy { FileManager.default.fileExists(atPath: $0) })
        client.disconnect()
        #expect(paths.allSatisfy { !FileManager.default.fileExists(atPath: $0) })
        let left = "\(directory)/iommud-offers/\(String(repeating: "0a", count: 16))"
        let stranger = "\(directory)/iommud-offers/README"
        for path in [left, stranger] { #expect(FileManager.default.createFile(atPath: path, contents: nil)) }
        bench.service.serveOffers(besides: "\(directory)/iommud.sock")
        #expect(!FileManager.default.fileExists(atPath: left) && FileManager.default.fileExists(atPath: stranger))
    }

    @Test func aDirectoryOfSomebodyElseIsNotUsed() throws {
        try FileManager.default.createDirectory(atPath: "\(directory)/elsewhere", withIntermediateDirectories: true)
        try FileManager.default.createSymbolicLink(
            atPath: "\(directory)/iommud-offers", withDestinationPath: "\(directory)/elsewhere")
        let client = try bench.connect()
        try client.expect(EIO, "no_offer_directory", "fd.offer", #"{"names":["vfio0"],"format":"kubevirt"}"#)
        #expect(try isFree("vfio0", client))
    }
}

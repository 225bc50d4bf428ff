import Glibc
import JSONRPC
import LinuxIO

/// A QEMU that runs, by its monitor (QMP): devices come and go while it does.
///
/// What it does with descriptors (seen with QEMU 11.1.3): one that comes with a command other than getfd waits for the
/// next getfd, of two in one message the second is lost, and a name is used up by the first object that takes it, also
/// if that fails. So each comes alone, with its own getfd, and anew after a failure.
final class QEMUMonitor {
    private let client: RPCClient
    private let path: String

    /// Connects, and says that it speaks the protocol.
    init(path: String, patience: Patience) throws(Failure) {
        self.path = path
        do throws(SystemError) {
            client = try RPCClient(path: path, timeoutMilliseconds: patience.milliseconds)
        } catch {
            throw .unreachable(
                "no monitor answers: \(error)", hint: "start QEMU with -qmp unix:\(path),server=on,wait=off")
        }
        guard try receive()["QMP"] != nil else { throw noMonitor("it does not greet") }
        _ = try execute("qmp_capabilities")
    }

    /// A pidfd of the machine's process.
    ///
    /// - Parameter pid: becomes its number.
    func process(pid: inout Int32) throws(Failure) -> Descriptor {
        do throws(SystemError) {
            return try OtherProcess.pidfd(peerOf: client.socket, pid: &pid)
        } catch {
            throw .unreachable("the process behind \(path) cannot be seen: \(error)", hint: "call where QEMU runs")
        }
    }

    /// Gives the machine a device.
    ///
    /// - Parameters:
    ///   - id: of the device in the machine; its iommufd is called `ID-iommufd`.
    ///   - iommufd: stays the caller's.
    ///   - node: of the device, likewise.
    func add(_ id: String, iommufd: Int32, node: Int32) throws(Failure) {
        let object = Self.object(of: id)
        try pass(iommufd, named: object)
        _ = try execute(
            "object-add", [("qom-type", .string("iommufd")), ("id", .string(object)), ("fd", .string(object))])
        do throws(Failure) {
            try pass(node, named: id)
            _ = try execute(
                "device_add",
                [
                    ("driver", .string("vfio-pci")), ("id", .string(id)), ("fd", .string(id)),
                    ("iommufd", .string(object)),
                ])
        } catch {
            _ = try? execute("object-del", [("id", .string(object))])
            throw error
        }
    }

    /// Takes a device out again, and waits until the guest has let it go.
    func remove(_ id: String) throws(Failure) {
        _ = try execute("device_del", [("id", .string(id))])
        while true {
            let message = try receive()
            let isGone = message["event"]?.stringValue == "DEVICE_DELETED"
            if isGone, message["data"]?["device"]?.stringValue == id { break }
        }
        _ = try execute("object-del", [("id", .string(Self.object(of: id)))])
    }

    private static func object(of id: String) -> String { "\(id)-iommufd" }

    /// The descriptor comes with the command's own bytes.
    private func pass(_ descriptor: Int32, named name: String) throws(Failure) {
        _ = try execute("getfd", [("fdname", .string(name))], with: [descriptor])
    }

    private func execute(
        _ command: String, _ arguments: [(String, JSONValue)] = [], with descriptors: [Int32] = []
    ) throws(Failure) -> JSONValue {
        var members = [JSONValue.Member(key: "execute", value: .string(command))]
        if !arguments.isEmpty {
            let values = arguments.map { JSONValue.Member(key: $0.0, value: $0.1) }
            members.append(.init(key: "arguments", value: .object(values)))
        }
        do throws(SystemError) {
            try client.send(line: JSONValue.object(members).text, descriptors: descriptors)
        } catch { throw noMonitor("\(error)") }
        while true {
            let message = try receive()
            if let result = message["return"] { return result }
            if let error = message["error"] { throw refused(command, error["desc"]?.stringValue ?? error.text) }
        }
    }

    private func receive() throws(Failure) -> JSONValue {
        let line: [UInt8]?
        do throws(SystemError) { line = try client.receiveLine() } catch { throw noMonitor("\(error)") }
        guard let line else { throw noMonitor("it has closed the connection") }
        guard let message = try? JSONValue(parsing: line) else { throw noMonitor("it sends no JSON") }
        return message
    }

    private func noMonitor(_ problem: String) -> Failure {
        .unreachable("what answers on \(path) is no QMP monitor: \(problem)", hint: "name the socket of QEMU's -qmp")
    }

    private func refused(_ command: String, _ text: String) -> Failure {
        .unreachable(
            "QEMU refuses \(command): \(Printable.text(text))", hint: "query-pci and qom-list show what the machine has"
        )
    }
}

import Glibc
import LinuxIO
import TestSupport
import Testing

@testable import JSONRPC

/// The blocking client, against a server on a thread of its own.
@Suite struct RPCClientTests {
    @Test func callsAndIsRefusedAndHearsNotifications() throws {
        let server = try ServerThread()
        let client = try RPCClient(path: server.path, timeoutMilliseconds: 30_000)
        #expect(try client.call("note", .object([.init(key: "text", value: .string("é\n"))]))["length"] == .integer(3))
        #expect(throws: RPCError.self) { try client.call("nope") }
        do {
            _ = try client.call("ioas.map", JSONValue(parsing: #"{"ioas":99,"length":1,"access":[]}"#))
            Issue.record("the call should have been refused")
        } catch let error as RPCError {
            #expect(error.errno == ENOENT)
            #expect(error.reason == "unknown_ioas")
            #expect(error.hint == "Allocate one.")
            #expect(error.details.contains(.init(key: "ioas", value: .integer(99))))
        }
        #expect(try client.nextNotification()["method"] == .string("hello"))
    }

    @Test func carriesDescriptorsBothWays() throws {
        let server = try ServerThread()
        let client = try RPCClient(path: server.path, timeoutMilliseconds: 30_000)
        var name = Array("/tmp/jsonrpc-file-XXXXXX".utf8CString)
        let file = mkstemp(&name)
        unlink(name)
        defer { close(file) }
        #expect(write(file, "content", 7) == 7)
        let result = try client.call("fd.echo", .object([]), descriptors: [file])
        #expect(result["fds"] == .integer(1))
        let received = client.takeDescriptors()
        #expect(received.count == 1)
        var bytes = [UInt8](repeating: 0, count: 7)
        #expect(pread(try #require(received.first).number, &bytes, 7, 0) == 7)
        #expect(String(decoding: bytes, as: UTF8.self) == "content")
        #expect(client.takeDescriptors().isEmpty)
    }

    @Test func tellsTimeoutsAndTheEnd() throws {
        let server = try ServerThread()
        let waiting = try RPCClient(path: server.path, timeoutMilliseconds: 20)
        #expect(throws: SystemError(errno: ETIMEDOUT, "receive")) { try waiting.call("park") }
        let client = try RPCClient(path: server.path, timeoutMilliseconds: 30_000)
        try client.send(line: request(1, "note", #"{"text":"x"}"#))
        client.finishSending()
        var lines: [JSONValue] = []
        while let line = try client.receiveLine() { lines.append(try JSONValue(parsing: line)) }
        #expect(lines.last?["id"] == .integer(1))
        #expect(throws: SystemError.self) { try client.call("note") }
        #expect(throws: SystemError(errno: ENOENT, "connect /nowhere/socket")) {
            try RPCClient(path: "/nowhere/socket")
        }
    }
}

/// A server that runs on a thread of its own until this is dropped.
private final class ServerThread: Sendable {
    let path: String
    private let stop: Mailbox<Void>

    init() throws {
        var template = Array("/tmp/jsonrpc-client-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.current("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/socket"
        let started = Handover<Mailbox<Void>>()
        let thread = ThreadStart(path: path, started: started)
        var id = pthread_t()
        let argument = Unmanaged.passRetained(thread).toOpaque()
        guard pthread_create(&id, nil, serveOnThread, argument) == 0 else {
            throw SystemError.current("pthread_create")
        }
        pthread_detach(id)
        stop = try #require(started.wait())
    }

    deinit { stop.post(()) }
}

/// What the thread is given.
private final class ThreadStart: Sendable {
    let path: String
    let started: Handover<Mailbox<Void>>

    init(path: String, started: Handover<Mailbox<Void>>) {
        self.path = path
        self.started = started
    }

    func run() {
        do {
            let loop = try EventLoop()
            let server = Server(loop: loop, dispatcher: Dispatcher(workbenchMethods(), context: Workbench()))
            server.onConnect = { connection in
                _ = connection.notify { $0.object { $0.member("method").string("hello") } }
            }
            try server.listen(on: UnixListener(path: path))
            let stop = try loop.openMailbox(of: Void.self) { loop.stop() }
            started.put(stop)
            try loop.run()
            server.drain(
                within: 0, refusal: RPCError(errno: ECANCELED, reason: "stopping", message: "It stops.")
            ) {}
            rmdir(String(path.dropLast("/socket".count)))
        } catch {
            started.put(nil)
        }
    }
}

private func serveOnThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue().run()
    return nil
}

import CLinux
import Foundation
import JSONRPC
import TestSupport
import Testing

/// Requests that take long, and who is served meanwhile.
struct LongWorkTests {
    private let daemon: RunningDaemon

    init() throws { daemon = try RunningDaemon() }

    private func connect() throws -> RPCClient {
        let client = try daemon.connect()
        try client.call("session.attach", #"{"name":"long"}"#)
        return client
    }

    /// While an accelerator is at half a gigabyte, another connection is answered, and a third ends the work.
    @Test func anAcceleratorLetsOthersIn() throws {
        let (worker, stopper, other) = (try connect(), try connect(), try daemon.connect())
        let device = try worker.id("device.bind", #"{"name":"uacce0"}"#, "device")
        let memory = try worker.id("memory.create", #"{"size":1048576}"#, "memory")
        let mm = try worker.id("mm.create", "{}", "mm")
        // The same megabyte again and again, so that the machine needs no more.
        for index in 0..<512 {
            try worker.call(
                "mm.map", #"{"mm":\#(mm),"memory":\#(memory),"va":\#(index << 20),"length":1048576}"#)
        }
        let queue = try worker.id("queue.open", #"{"device":\#(device),"mm":\#(mm)}"#, "queue")
        try worker.call("queue.start", #"{"queue":\#(queue)}"#)
        let work = #"{"queue":\#(queue),"op":"fill","dst":0,"length":536870912,"value":3}"#
        try worker.send(line: #"{"jsonrpc":"2.0","id":7,"method":"queue.submit","params":\#(work)}"#)
        try other.call("daemon.info", "{}")
        try stopper.call("queue.stop", #"{"queue":\#(queue)}"#)
        let line = try #require(try worker.receiveLine())
        let reply = try JSONValue(parsing: line)
        #expect(reply["error"]?["data"]?["reason"]?.stringValue == "queue_stopped")
    }
}

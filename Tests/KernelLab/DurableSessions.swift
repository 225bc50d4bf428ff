import Glibc
import JSONRPC
import LinuxIO

/// Named sessions over a real kernel: the daemon is killed and started again, and knows what is in the kernel.
final class DurableSessions {
    private let manager: LabManager
    private let connect: () throws -> RPCClient
    private var complaints: [String] = []
    private var random: UInt64 = 0x9e37_79b9_7f4a_7c15
    private static let rounds = 40

    /// - Parameter connect: waits until the daemon answers.
    init(_ connect: @escaping () throws -> RPCClient) throws {
        manager = try LabManager()
        self.connect = connect
    }

    /// - Returns: what was not as it has to be.
    static func play(_ connect: @escaping () throws -> RPCClient) -> [String] {
        do {
            let sessions = try DurableSessions(connect)
            try sessions.goOn()
            try sessions.endAnywhere()
            print("durable: one session with everything, \(rounds) ends among mappings")
            return sessions.complaints
        } catch {
            return ["durable: \(error)"]
        }
    }

    private func expect(_ isSo: Bool, _ what: @autoclosure () -> String) {
        if !isSo { complaints.append("durable: \(what())") }
    }

    private func end(_ process: pid_t, _ signal: Int32) {
        kill(process, signal)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    // MARK: Everything at once

    private static let everything = """
        memory.create {"size":1048576}
        ioas.alloc {}
        ioas.map {"ioas":1,"memory":1,"length":"0x100000","iova":"0x4000000"}
        ioas.map {"ioas":1,"memory":1,"length":8192,"iova":"0x10000000","access":["read"]}
        """

    private func goOn() throws {
        var process = try manager.start()
        var client = try connect()
        _ = try client.call("session.attach", #"{"name":"vm"}"#)
        for line in Self.everything.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 1)
            _ = try client.call(String(words[0]), String(words[1]))
        }
        let ids = try makeTables(client)
        let objects = try client.call("session.objects")
        let mappings = try client.call("ioas.mappings", #"{"ioas":1}"#)
        for signal in [SIGKILL, SIGTERM, SIGKILL] {
            end(process, signal)
            process = try manager.start()
            client = try connect()
            let attached = try client.call("session.attach", #"{"name":"vm","create":false}"#)
            expect(attached["session"]?["durable"]?.stringValue == "full", "not durable: \(attached.text)")
            let after = try client.call("session.objects")
            expect(after == objects, "before \(objects.text), after \(after.text)")
            expect(try client.call("ioas.mappings", #"{"ioas":1}"#) == mappings, "other mappings")
            let other = try connect()
            expect(refusal(other, "device.bind", #"{"name":"0000:01:00.0"}"#) == "group_owned_elsewhere", "bound twice")
        }
        try takeApart(client, ids)
        end(process, SIGTERM)
        expect(manager.stored == 0, "\(manager.stored) descriptors are still kept")
    }

    private typealias IDs = (first: Int, second: Int, tracked: Int, parent: Int, viommu: Int, queue: Int, fault: Int)

    private func makeTables(_ client: RPCClient) throws -> IDs {
        func id(_ method: String, _ params: String, _ key: String) throws -> Int {
            try client.call(method, params)[key]?.intValue ?? 0
        }
        let first = try id("device.bind", #"{"name":"0000:01:00.0"}"#, "device")
        let second = try id("device.bind", #"{"name":"0000:03:00.0"}"#, "device")
        let fault = try id("fault.alloc", "{}", "fault")
        let tracked = try id(
            "hwpt.alloc", #"{"device":\#(first),"pt":1,"flags":["dirty_tracking","pasid"]}"#, "hwpt")
        _ = try client.call("device.attach", #"{"device":\#(first),"pt":\#(tracked)}"#)
        _ = try client.call("device.attach", #"{"device":\#(first),"pt":\#(tracked),"pasid":5}"#)
        _ = try client.call("hwpt.set_dirty_tracking", #"{"hwpt":\#(tracked),"enable":true}"#)
        let parent = try id("hwpt.alloc", #"{"device":\#(second),"pt":1,"flags":["nest_parent"]}"#, "hwpt")
        let viommu = try id(
            "viommu.alloc", #"{"device":\#(second),"hwpt":\#(parent),"type":"arm_smmuv3"}"#, "viommu")
        _ = try client.call("vdevice.alloc", #"{"viommu":\#(viommu),"device":\#(second),"virt_id":9}"#)
        let queue = try id(
            "veventq.alloc", #"{"viommu":\#(viommu),"type":"arm_smmuv3","depth":8}"#, "veventq")
        _ = try client.call("hwpt.alloc", #"{"device":\#(second),"pt":1,"fault":\#(fault)}"#)
        _ = try client.call("device.attach", #"{"device":\#(second),"pt":1}"#)
        return (first, second, tracked, parent, viommu, queue, fault)
    }

    /// The kernel has what the books say: each of it can be ended, in the order that it demands.
    private func takeApart(_ client: RPCClient, _ ids: IDs) throws {
        let query = #"{"hwpt":\#(ids.tracked),"iova":"0x4000000","length":"0x100000","page_size":4096}"#
        let dirty = try client.call("hwpt.get_dirty_bitmap", query)["dirty"]?.intValue
        expect(dirty == 256, "\(dirty ?? -1) pages count as dirty")
        let events = try client.call("veventq.read", #"{"veventq":\#(ids.queue)}"#)["events"]?.arrayValue
        expect(events?.first?["lost"]?.boolValue == true, "no event was lost")
        _ = try client.call("device.detach", #"{"device":\#(ids.first),"pasid":5}"#)
        _ = try client.call("device.detach", #"{"device":\#(ids.first)}"#)
        _ = try client.call("object.destroy", #"{"id":\#(ids.tracked)}"#)
        _ = try client.call("object.destroy", #"{"id":\#(ids.queue)}"#)
        _ = try client.call("device.unbind", #"{"device":\#(ids.first)}"#)
        let again = try client.call("device.bind", #"{"name":"0000:01:00.0"}"#)["device"]?.intValue ?? 0
        _ = try client.call("device.attach", #"{"device":\#(again),"pt":1}"#)
        let unmapped = try client.call("ioas.unmap", #"{"ioas":1,"iova":0,"length":"0xffffffffffffffff"}"#)
        expect(unmapped["unmapped"]?.stringValue == "0x102000", "unmapped \(unmapped.text)")
        _ = try client.call("session.close")
        // A device is free again when the last of its descriptors is closed.
        expect(refusal(client, "device.bind", #"{"name":"0000:01:00.0"}"#) == nil, "the device is not free")
    }

    private func refusal(_ client: RPCClient, _ method: String, _ params: String) -> String? {
        do {
            try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#)
            guard let line = try client.receiveLine() else { return "no answer" }
            return try JSONValue(parsing: line)["error"]?["data"]?["reason"]?.stringValue
        } catch {
            return "\(error)"
        }
    }

    // MARK: Ends

    private func number(below bound: Int) -> Int {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return Int(random % UInt64(bound))
    }

    /// Mappings and unmappings as fast as they go, and the end at some instant of it.
    private func endAnywhere() throws {
        var process = try manager.start()
        var client = try connect()
        _ = try client.call("session.attach", #"{"name":"ends"}"#)
        _ = try client.call("memory.create", #"{"size":65536}"#)
        _ = try client.call("ioas.alloc")
        let device = try client.call("device.bind", #"{"name":"0000:05:00.0"}"#)["device"]?.intValue ?? 0
        _ = try client.call("device.attach", #"{"device":\#(device),"pt":1}"#)
        for round in 0..<Self.rounds {
            let answered = try load(client, endingAt: number(below: 300), process)
            process = try manager.start()
            client = try connect()
            _ = try client.call("session.attach", #"{"name":"ends","create":false}"#)
            try compare(client, answered, round)
        }
        _ = try client.call("session.close")
        end(process, SIGTERM)
        expect(manager.stored == 0, "\(manager.stored) descriptors are still kept")
    }

    /// One place after the other is mapped, eight requests under way, and each second one is unmapped again.
    ///
    /// - Returns: how many requests were answered.
    private func load(_ client: RPCClient, endingAt last: Int, _ process: pid_t) throws -> Int {
        var (sent, answered) = (0, 0)
        do {
            while true {
                while sent < answered + 8 {
                    let (method, params) = Self.request(sent)
                    try client.send(line: #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#)
                    sent += 1
                }
                guard try client.receiveLine() != nil else { break }
                answered += 1
                if answered == last + 1 { kill(process, SIGKILL) }
            }
        } catch {
            // It has ended.
        }
        end(process, SIGKILL)
        return answered
    }

    private static func place(_ index: Int) -> Int { 0x1000_0000 + index * 0x2000 }

    /// Two of three map the next place, the third unmaps the one before.
    private static func request(_ number: Int) -> (method: String, params: String) {
        let index = number / 3 * 2 + min(number % 3, 1)
        guard number % 3 == 2 else {
            return ("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":\#(place(index))}"#)
        }
        return ("ioas.unmap", #"{"ioas":1,"iova":\#(place(index)),"length":4096}"#)
    }

    /// What was answered is so; the next eight may be done, one after the other; and the kernel has nothing else.
    private func compare(_ client: RPCClient, _ answered: Int, _ round: Int) throws {
        let found = try client.call("ioas.mappings", #"{"ioas":1,"limit":10000}"#)["mappings"]?.arrayValue ?? []
        let there = Set(found.compactMap { $0["iova"]?.stringValue })
        var possible: [Set<String>] = []
        var model: Set<String> = []
        for number in 0...answered + 8 {
            if number >= answered { possible.append(model) }
            let index = number / 3 * 2 + min(number % 3, 1)
            let text = "0x" + String(Self.place(index), radix: 16)
            if number % 3 == 2 { model.remove(text) } else { model.insert(text) }
        }
        expect(possible.contains(there), "round \(round): \(there.count) mappings after \(answered) answers")
        // What is not in the books is free in the kernel, and what is, is there.
        for index in 0..<(answered + 12) / 3 * 2 where !there.contains("0x" + String(Self.place(index), radix: 16)) {
            _ = try client.call("ioas.map", #"{"ioas":1,"memory":1,"length":4096,"iova":\#(Self.place(index))}"#)
        }
        _ = try client.call("ioas.unmap", #"{"ioas":1,"iova":0,"length":"0xffffffffffffffff"}"#)
    }
}

extension RPCClient {
    /// A method with its parameters as text.
    fileprivate func call(_ method: String, _ params: String) throws -> JSONValue {
        try call(method, try JSONValue(parsing: params))
    }
}

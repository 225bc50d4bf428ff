import JSONRPC
import TestSupport

/// A VMM without an SMMU of its own: it passes its guest's register accesses on, keeps translations for its devices,
/// holds their stalled transactions, and knows nothing but what it is told.
final class ReferenceVMM {
    /// How a device's access ends.
    enum Outcome: Equatable {
        case done
        /// It waits for the guest.
        case stalled
        /// An abort, or what the event says.
        case failed(String)
    }

    /// One access of a device, of a word.
    struct Access: Equatable {
        var stream: UInt32
        var pasid: UInt32?
        var address: UInt64
        var isWrite: Bool
    }

    private struct Kept {
        let access: Access
        let size: UInt64
        let output: UInt64
    }

    static let memoryBytes = 4 << 20
    static let base: UInt64 = 0x4000_0000
    /// Where the guest's interrupt controller takes messages.
    static let doorbell: UInt64 = 0x808_0040
    private let client: RPCClient
    let memory: SharedMemory
    private var iotlb: [Kept] = []
    /// What a device with ATS keeps.
    private var atc: [Kept] = []
    /// Transactions that wait, by what the daemon calls them, with what they carry.
    private var stalled: [Int: (access: Access, value: UInt64)] = [:]
    /// Messages that the guest's interrupt handlers have not seen.
    var pendingInterrupts: [UInt64] = []
    /// Answers to page requests, by group.
    var pageResponses: [Int: String] = [:]
    private(set) var hits = 0
    private var lastID = 0

    init(_ client: RPCClient) throws {
        self.client = client
        memory = try SharedMemory(size: Self.memoryBytes)
        _ = try client.importMemory(memory)
        _ = try client.id("vsmmu.create", "{}", "vsmmu")
        try client.call(
            "vsmmu.memory", #"{"vsmmu":1,"memory":1,"length":\#(Self.memoryBytes),"gpa":\#(Self.base)}"#)
    }

    // MARK: Calls

    /// What is told before the reply is heard before it.
    private func call(_ method: String, _ params: String) throws -> JSONValue {
        lastID += 1
        try client.send(line: #"{"jsonrpc":"2.0","id":\#(lastID),"method":"\#(method)","params":\#(params)}"#)
        while let line = try client.receiveLine() {
            let message = try JSONValue(parsing: line)
            if message["method"] != nil {
                try hear(message["params"] ?? .null)
            } else if let error = message["error"] {
                throw RPCError(reply: error)
            } else {
                return message["result"] ?? .null
            }
        }
        throw Unexpected("the daemon has gone")
    }

    private func hear(_ event: JSONValue) throws {
        switch event["kind"]?.stringValue {
        case "vsmmu_invalidate": drop(event)
        case "vsmmu_resume":
            guard let id = event["stall"]?.intValue, let waiting = stalled.removeValue(forKey: id) else {
                throw Unexpected("nothing waits: \(event.text)")
            }
            resumed.append((waiting.access, waiting.value, event["action"]?.stringValue ?? ""))
        case "vsmmu_msi":
            guard event["address"]?.unsignedValue == Self.doorbell else { throw Unexpected(event.text) }
            pendingInterrupts.append(event["data"]?.unsignedValue ?? 0)
        case "vsmmu_pri_response":
            pageResponses[event["group"]?.intValue ?? -1] = event["code"]?.stringValue
        case "vsmmu_stall": break
        default: throw Unexpected("what is this? \(event.text)")
        }
    }

    private var resumed: [(access: Access, value: UInt64, action: String)] = []

    private func drop(_ event: JSONValue) {
        func concerns(_ kept: Kept) -> Bool {
            if let stream = event["stream_id"]?.intValue, stream != Int(kept.access.stream) { return false }
            if let substream = event["substream_id"]?.intValue, substream != kept.access.pasid.map({ Int($0) }) {
                return false
            }
            guard let start = event["start"]?.unsignedValue, let last = event["last"]?.unsignedValue else {
                return true
            }
            let first = kept.access.address & ~(kept.size - 1)
            return first <= last && first + (kept.size - 1) >= start
        }
        if event["ats"]?.boolValue == true { atc.removeAll(where: concerns) } else { iotlb.removeAll(where: concerns) }
    }

    // MARK: The guest's bus

    func read(_ offset: UInt64, size: Int) throws -> UInt64 {
        try call("vsmmu.mmio_read", #"{"vsmmu":1,"offset":\#(offset),"size":\#(size)}"#)["value"]?.unsignedValue ?? 0
    }

    func write(_ offset: UInt64, size: Int, _ value: UInt64) throws {
        _ = try call(
            "vsmmu.mmio_write", #"{"vsmmu":1,"offset":\#(offset),"size":\#(size),"value":"\#(hex(value))"}"#)
    }

    /// The guest's reboot.
    func reset() throws { _ = try call("vsmmu.reset", #"{"vsmmu":1}"#) }

    // MARK: Devices

    /// Whether the devices have anything that waits.
    var openStalls: Int { stalled.count }

    func write(_ access: Access, _ value: UInt64) throws -> Outcome {
        if let output = find(access, in: iotlb) { return perform(access, at: output, value) }
        let reply = try call("vsmmu.translate", request(access, "untranslated"))
        if let id = reply["stalled"]?["stall"]?.intValue {
            stalled[id] = (access, value)
            return .stalled
        }
        guard let output = reply["pa"]?.unsignedValue, let size = reply["page_size"]?.unsignedValue else {
            return .failed(reply["event"]?["type"]?.stringValue ?? reply["terminated"]?.stringValue ?? "?")
        }
        // What bypasses has no page: it is asked for each time.
        if size != 0 { iotlb.append(Kept(access: access, size: size, output: output)) }
        return perform(access, at: output, value)
    }

    /// What was resumed goes on, as the guest has said. - Returns: how each has ended.
    func goOn() throws -> [Outcome] {
        let waiting = resumed
        resumed = []
        return try waiting.map { $0.action == "retry" ? try write($0.access, $0.value) : .failed($0.action) }
    }

    /// A device with ATS: it asks first, and keeps the answer.
    func writeTranslated(_ access: Access, _ value: UInt64) throws -> Outcome {
        if let output = find(access, in: atc) { return perform(access, at: output, value) }
        let reply = try call("vsmmu.translate", request(access, "translation_request"))
        guard let output = reply["pa"]?.unsignedValue, let size = reply["page_size"]?.unsignedValue,
            reply["attributes"]?["write"]?.boolValue == true
        else {
            return .failed(reply["terminated"]?.stringValue ?? "no permission")
        }
        if size != 0 { atc.append(Kept(access: access, size: size, output: output)) }
        return perform(access, at: output, value)
    }

    func requestPage(_ access: Access, group: Int) throws -> String? {
        try call("vsmmu.page_request", "{\(members(access)),\"group\":\(group)}")["outcome"]?.stringValue
    }

    private func request(_ access: Access, _ kind: String) -> String { "{\(members(access)),\"kind\":\"\(kind)\"}" }

    private func members(_ access: Access) -> String {
        let pasid = access.pasid.map { #","pasid":\#($0)"# } ?? ""
        return #""vsmmu":1,"stream_id":\#(access.stream),"iova":"\#(hex(access.address))","#
            + #""access":"\#(access.isWrite ? "write" : "read")""# + pasid
    }

    private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

    private func find(_ access: Access, in cache: [Kept]) -> UInt64? {
        let kept = cache.first { kept in
            var same = kept.access
            same.address = access.address
            return same == access && (kept.access.address ^ access.address) & ~(kept.size - 1) == 0
        }
        guard let kept else { return nil }
        hits += 1
        return kept.output & ~(kept.size - 1) | access.address & (kept.size - 1)
    }

    private func perform(_ access: Access, at output: UInt64, _ value: UInt64) -> Outcome {
        guard output >= Self.base, output - Self.base < UInt64(Self.memoryBytes) else { return .failed("no memory") }
        memory.setWord(Int(output - Self.base), value)
        return .done
    }
}

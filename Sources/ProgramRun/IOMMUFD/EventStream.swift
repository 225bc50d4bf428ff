import CLinux
import Glibc
import JSONRPC
import LinuxIO

/// Our end of a descriptor that reads as that of a fault queue or of a queue of guest events: whole records, as iommufd
/// writes them. What the program writes to a fault queue are its answers.
final class EventStream {
    enum Kind { case faults, guestEvents }

    let kind: Kind
    let id: UInt32
    private unowned let context: IOMMUFD
    private let socket: Descriptor
    /// What the program's end has no room for.
    private var waiting: [UInt8] = []
    /// A part of an answer.
    private var answer: [UInt8] = []
    private var isOver = false

    /// - Parameter other: becomes the program's end.
    init(_ kind: Kind, _ id: UInt32, of context: IOMMUFD, other: inout Descriptor?) throws(Refusal) {
        var pair: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair) == 0 else {
            throw Refusal(errno)
        }
        other = Descriptor(adopting: pair[1])
        _ = fcntl(pair[0], F_SETFL, O_NONBLOCK)
        (self.kind, self.id, self.context) = (kind, id, context)
        socket = Descriptor(adopting: pair[0])
        context.supervisor.watch(pair[0]) { [weak self] in self?.becameReady() }
    }

    func end() {
        guard !isOver else { return }
        isOver = true
        context.supervisor.unwatch(socket.number)
    }

    // MARK: To the program

    /// Takes what the queue has.
    func pull() throws(Refusal) {
        guard !isOver, waiting.isEmpty else { return }
        switch kind {
        case .faults:
            let answer = try context.link.call("fault.read", [("fault", .count(UInt64(id)))])
            for fault in answer["faults"]?.arrayValue ?? [] { waiting += try Self.record(ofFault: fault) }
        case .guestEvents:
            let answer = try context.link.call("veventq.read", [("veventq", .count(UInt64(id)))])
            for event in answer["events"]?.arrayValue ?? [] { waiting += try Self.record(ofEvent: event) }
        }
        push()
    }

    private func push() {
        while !waiting.isEmpty {
            let count = clinux_send(socket.number, waiting, waiting.count, nil, 0)
            guard count > 0 else { return }
            waiting.removeFirst(count)
        }
    }

    /// `struct iommu_hwpt_pgfault`
    private static func record(ofFault fault: JSONValue) throws(Refusal) -> [UInt8] {
        var record = ArgumentBytes([UInt8](repeating: 0, count: 40))
        let pasid = fault["pasid"]?.unsignedValue
        record[word32: 0] = (pasid == nil ? 0 : 1) | (fault["last"]?.boolValue == true ? 2 : 0)
        record[word32: 4] = try fault.id("device")
        record[word32: 8] = UInt32(truncatingIfNeeded: pasid ?? 0)
        record[word32: 12] = try fault.id("group_id")
        let names = ["read", "write", "exec", "priv"]
        let permissions = (fault["perm"]?.arrayValue ?? []).compactMap(\.stringValue)
        for (bit, name) in names.enumerated() where permissions.contains(name) {
            record[word32: 16] |= 1 << UInt32(bit)
        }
        record[word64: 24] = try fault.number("addr")
        record[word32: 32] = try fault.id("length")
        record[word32: 36] = try fault.id("cookie")
        return record.bytes
    }

    /// `struct iommufd_vevent_header` and, unless it says that some are lost, the SMMU's record.
    private static func record(ofEvent event: JSONValue) throws(Refusal) -> [UInt8] {
        let isLost = event["lost"]?.boolValue == true
        var record = ArgumentBytes([UInt8](repeating: 0, count: isLost ? 8 : 40))
        record[word32: 0] = isLost ? 1 : 0
        record[word32: 4] = try event.id("sequence")
        for (index, word) in (event["record"]?.arrayValue ?? []).prefix(4).enumerated() {
            record[word64: 8 + 8 * index] = word.unsignedValue ?? 0
        }
        return record.bytes
    }

    // MARK: From the program

    private func becameReady() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(socket.number, &buffer, buffer.count)
        guard count != 0 else { return closed() }
        if count > 0 { answer += buffer.prefix(count) }
        push()
        guard kind == .faults else { return answer = [] }
        context.supervisor.noteIfRefused { () throws(Refusal) in
            try respond()
            try pull()
        }
    }

    /// The program has closed its end; the queue stays until it is destroyed.
    private func closed() {
        end()
        context.queues[id] = nil
    }

    /// `struct iommu_hwpt_page_response`, as many as are whole.
    private func respond() throws(Refusal) {
        while answer.count >= 8 {
            let words = ArgumentBytes(Array(answer.prefix(8)))
            answer.removeFirst(8)
            let code = words[word32: 4] == 0 ? "success" : "invalid"
            let response = JSONValue.given([
                ("cookie", .count(UInt64(words[word32: 0]))), ("code", .string(code)),
            ])
            try context.link.call("fault.respond", [("fault", .count(UInt64(id))), ("responses", .array([response]))])
        }
    }
}

extension IOMMUFD {
    /// Has the daemon tell of what waits in queues.
    func listenForEvents() throws(Refusal) {
        guard events == nil else { return }
        let link: SessionLink
        do {
            link = try SessionLink(path: supervisor.socketPath, session: session)
        } catch {
            throw Refusal(EIO, note: "the daemon does not answer: \(error)")
        }
        try link.call("events.subscribe", [("kinds", .array([.string("fault"), .string("veventq")]))])
        events = link
        supervisor.watch(link.descriptor) { [weak self] in self?.eventsCame() }
    }

    private func eventsCame() {
        guard let events else { return }
        supervisor.noteIfRefused { () throws(Refusal) in
            _ = try events.nextMessage()
            for queue in queues.values { try queue.pull() }
        }
    }
}

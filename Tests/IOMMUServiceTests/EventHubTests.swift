import IOMMU
import IOMMUService
import LinuxIO
import Testing

/// A connection with room for so many notices.
private final class Sink: NoticeSink {
    var room = Int.max
    var notices: [String] = []

    func send(_ notice: Notice) -> Bool {
        guard room > 0 else { return false }
        room -= 1
        switch notice {
        case .event(let event, let sequence): notices.append("\(sequence) \(event.kind.rawValue)")
        case .lost(let count, let sequence, _): notices.append("\(sequence) lost \(count)")
        }
        return true
    }

    func tell(_ notice: Notice) -> Bool { send(notice) }
}

struct EventHubTests {
    private let table = SessionTable(limits: SessionLimits()) { id, owner, _, _ in FakeContext(id: id, owner: owner) }
    private let hub = EventHub { peer, device in peer.identity.uid == 1000 && device == "mine" }

    private func publish(_ body: BackendEvent.Body, of client: Client? = nil) {
        hub.publish(BackendEvent(body, context: client?.session.id), origin: client?.session.origin)
    }

    private func fault(_ device: String = "") -> BackendEvent.Body {
        .fault(PageFaultEvent(fault: 1, device: 2, name: device, address: 0x1000, pasid: nil))
    }

    private func device(_ name: String) -> BackendEvent.Body { .device(DeviceEvent(name: name, action: .added)) }

    private var bond: BackendEvent.Body {
        .bond(BondEvent(bond: 1, device: 1, name: "d", mm: 1, pasid: 1, state: "live"))
    }

    private var queue: BackendEvent.Body {
        .queue(QueueEvent(queue: 1, name: "d", mm: 1, state: .zombie, reason: .mmExited))
    }

    private var smmuEvent: BackendEvent.Body {
        let event = FaultDescription(
            type: "C_BAD_STE", streamID: 1, substreamID: nil, address: nil, access: nil, stallTag: nil, record: [])
        return .smmuEvent(SMMUEvent(smmu: "smmu0", name: nil, event: event))
    }

    @Test func slowSubscriberLosesCountedEventsAndHoldsNobodyUp() {
        let (slow, quick) = (Sink(), Sink())
        let (first, second) = (table.connect(.user(0, admin: true)), table.connect(.user(0, admin: true)))
        hub.subscribe(first, kinds: .all, sink: slow, capacity: 2)
        hub.subscribe(second, kinds: .all, sink: quick, capacity: 2)
        slow.room = 1
        for _ in 0..<8 { publish(fault()) }
        #expect(slow.notices == ["1 fault"])
        #expect(quick.notices.count == 8)
        slow.room = .max
        first.subscription?.flush()
        #expect(slow.notices == ["1 fault", "2 fault", "3 fault", "4 lost 5"])
        publish(bond)
        #expect(slow.notices.last == "5 bond")
        #expect(hub.lost == 5)
    }

    @Test func eventsAfterALossComeAfterTheLossNotice() {
        let sink = Sink()
        let client = table.connect(.user(0, admin: true))
        hub.subscribe(client, kinds: .all, sink: sink, capacity: 1)
        sink.room = 0
        for _ in 0..<3 { publish(fault()) }
        sink.room = 1
        publish(bond)
        #expect(sink.notices == ["1 fault"])
        sink.room = .max
        publish(queue)
        #expect(sink.notices == ["1 fault", "2 lost 3", "3 queue"])
    }

    @Test func manySubscribersAreSentTheirsInPieces() {
        final class Pieces { var waiting: [(inout TurnBudget) -> Bool] = [] }
        let pieces = Pieces()
        let hub = EventHub(inPieces: { pieces.waiting.append($1) }) { _, _ in false }
        let sinks = (0..<20).map { _ in Sink() }
        let clients = sinks.map { sink in
            let client = table.connect(.user(0, admin: true))
            hub.subscribe(client, kinds: .all, sink: sink, capacity: 4)
            return client
        }
        for _ in 0..<6 { hub.publish(BackendEvent(fault(), context: nil), origin: nil) }
        #expect(sinks.allSatisfy { $0.notices.isEmpty } && hub.lost == 40)
        #expect(pieces.waiting.count == 20)
        hub.unsubscribe(clients[19])
        // Two of the smallest steps are spent by each notice.
        var rounds = 0
        while !pieces.waiting.isEmpty {
            rounds += 1
            let unfinished = pieces.waiting.filter { piece in
                var budget = TurnBudget(units: 1)
                return !piece(&budget)
            }
            pieces.waiting = unfinished
        }
        #expect(rounds == 5)
        let told = ["1 fault", "2 fault", "3 fault", "4 fault", "5 lost 2"]
        #expect(sinks.dropLast().allSatisfy { $0.notices == told } && sinks[19].notices.isEmpty)
        hub.publish(BackendEvent(bond, context: nil), origin: nil)
        #expect(pieces.waiting.count == 19)
    }

    @Test func onlyTheChosenKindsCome() {
        let sink = Sink()
        let client = table.connect(.user(0, admin: true))
        hub.subscribe(client, kinds: EventKinds([.bond]), sink: sink, capacity: 8)
        publish(fault())
        publish(bond)
        #expect(sink.notices == ["1 bond"])
        hub.subscribe(client, kinds: EventKinds([.fault]), sink: sink, capacity: 8)
        publish(bond)
        publish(fault())
        #expect(sink.notices == ["1 bond", "2 fault"])
        hub.unsubscribe(client)
        publish(fault())
        #expect(sink.notices.count == 2)
    }

    @Test func othersSeeOnlyTheirOwnSessionAndDevices() {
        let sink = Sink()
        let client = table.connect(.user(1000))
        let other = table.connect(.user(1001))
        hub.subscribe(client, kinds: .all, sink: sink, capacity: 8)
        publish(fault("mine"), of: other)
        publish(smmuEvent)
        publish(device("theirs"))
        #expect(sink.notices.isEmpty)
        publish(device("mine"))
        publish(fault(), of: client)
        #expect(sink.notices == ["1 device", "2 fault"])
    }

    @Test func administratorsSeeOtherSessionsOnlyIfTheyAskForAll() throws {
        let (narrow, wide) = (Sink(), Sink())
        let (one, all) = (table.connect(.user(0, admin: true)), table.connect(.user(0, admin: true)))
        let (user, wanting) = (table.connect(.user(1000)), Sink())
        hub.subscribe(one, kinds: .all, sink: narrow, capacity: 8)
        hub.subscribe(all, kinds: .all, all: true, sink: wide, capacity: 8)
        hub.subscribe(user, kinds: .all, all: true, sink: wanting, capacity: 8)
        publish(fault(), of: table.connect(.user(1001)))
        publish(smmuEvent)
        #expect(narrow.notices == ["1 smmu_event"])
        #expect(wide.notices == ["1 fault", "2 smmu_event"])
        #expect(wanting.notices.isEmpty, "asking is not enough")
        hub.subscribe(all, kinds: .all, sink: wide, capacity: 8)
        publish(fault(), of: one)
        #expect(narrow.notices.last == "2 fault" && wide.notices.count == 2)
    }

    @Test func theOriginIsTheNameOfASessionOrTheNumberOfAConnection() throws {
        let (first, second) = (table.connect(.user(1000)), table.connect(.user(1000)))
        #expect(first.session.origin == .connection(1) && second.session.origin == .connection(2))
        let named = try table.attach(first, name: "vm", create: true)
        #expect(named.origin == .session("vm", owner: 1000))
        #expect(table.session(named.id) === named)
        table.close(named)
        #expect(first.session.origin == .connection(1))
        #expect(table.session(named.id) == nil)
    }

    @Test func timestampIsRFC3339WithMicroseconds() {
        #expect(Timestamp.text(seconds: 0, microseconds: 7) == "1970-01-01T00:00:00.000007Z")
        #expect(Timestamp.text(seconds: 1_795_257_000, microseconds: 123_456) == "2026-11-21T10:30:00.123456Z")
    }
}

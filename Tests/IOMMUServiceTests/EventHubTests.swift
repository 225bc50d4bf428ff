import IOMMU
import IOMMUService
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
}

struct EventHubTests {
    private let table = SessionTable(limits: SessionLimits()) { owner, _, _ in FakeContext(owner: owner) }
    private let hub = EventHub { peer, device in peer.identity.uid == 1000 && device == "mine" }

    private func event(_ kind: BackendEvent.Kind, of client: Client? = nil, device: String? = nil) -> BackendEvent {
        BackendEvent(kind, context: client.map { ObjectIdentifier($0.session.context) }, device: device, [])
    }

    @Test func slowSubscriberLosesCountedEventsAndHoldsNobodyUp() {
        let (slow, quick) = (Sink(), Sink())
        let (first, second) = (table.connect(.user(0, admin: true)), table.connect(.user(0, admin: true)))
        hub.subscribe(first, kinds: .all, sink: slow, capacity: 2)
        hub.subscribe(second, kinds: .all, sink: quick, capacity: 2)
        slow.room = 1
        for _ in 0..<8 { hub.publish(event(.fault)) }
        #expect(slow.notices == ["1 fault"])
        #expect(quick.notices.count == 8)
        slow.room = .max
        first.subscription?.flush()
        #expect(slow.notices == ["1 fault", "2 fault", "3 fault", "4 lost 5"])
        hub.publish(event(.bond))
        #expect(slow.notices.last == "5 bond")
        #expect(hub.lost == 5)
    }

    @Test func eventsAfterALossComeAfterTheLossNotice() {
        let sink = Sink()
        let client = table.connect(.user(0, admin: true))
        hub.subscribe(client, kinds: .all, sink: sink, capacity: 1)
        sink.room = 0
        for _ in 0..<3 { hub.publish(event(.fault)) }
        sink.room = 1
        hub.publish(event(.bond))
        #expect(sink.notices == ["1 fault"])
        sink.room = .max
        hub.publish(event(.queue))
        #expect(sink.notices == ["1 fault", "2 lost 3", "3 queue"])
    }

    @Test func onlyTheChosenKindsCome() {
        let sink = Sink()
        let client = table.connect(.user(0, admin: true))
        hub.subscribe(client, kinds: EventKinds([.bond]), sink: sink, capacity: 8)
        hub.publish(event(.fault))
        hub.publish(event(.bond))
        #expect(sink.notices == ["1 bond"])
        hub.subscribe(client, kinds: EventKinds([.fault]), sink: sink, capacity: 8)
        hub.publish(event(.bond))
        hub.publish(event(.fault))
        #expect(sink.notices == ["1 bond", "2 fault"])
        hub.unsubscribe(client)
        hub.publish(event(.fault))
        #expect(sink.notices.count == 2)
    }

    @Test func othersSeeOnlyTheirOwnSessionAndDevices() {
        let sink = Sink()
        let client = table.connect(.user(1000))
        let other = table.connect(.user(1001))
        hub.subscribe(client, kinds: .all, sink: sink, capacity: 8)
        hub.publish(event(.fault, of: other, device: "mine"))
        hub.publish(event(.smmuEvent))
        hub.publish(event(.device, device: "theirs"))
        #expect(sink.notices.isEmpty)
        hub.publish(event(.device, device: "mine"))
        hub.publish(event(.fault, of: client))
        #expect(sink.notices == ["1 device", "2 fault"])
    }

    @Test func timestampIsRFC3339WithMicroseconds() {
        #expect(Timestamp.text(seconds: 0, microseconds: 7) == "1970-01-01T00:00:00.000007Z")
        #expect(Timestamp.text(seconds: 1_795_257_000, microseconds: 123_456) == "2026-11-21T10:30:00.123456Z")
    }
}

import IOMMU

/// Faults since the start, by the device and what happened, whether or not anybody has subscribed to events.
struct FaultCounters {
    private struct Subject: Hashable {
        var device: String
        var type: String
    }

    /// Pairs that are told apart; devices that come and go make no end of names.
    private static let maximum = 1000
    /// Of the page faults that wait for an answer, which have no event of the architecture.
    private static let pageFault = "page_fault"

    private var counts: [Subject: UInt64] = [:]

    mutating func count(_ event: BackendEvent) {
        switch event.body {
        case .fault(let fault): add(fault.name, Self.pageFault)
        case .smmuEvent(let event): add(event.name ?? "none", event.event.type)
        // A guest's own affair, of which its VMM is told.
        case .mmExit, .bond, .device, .queue, .veventq, .vsmmuEvent, .vsmmuNotice: break
        }
    }

    private mutating func add(_ device: String, _ type: String) {
        var subject = Subject(device: device, type: type)
        if counts[subject] == nil, counts.count >= Self.maximum { subject = Subject(device: "others", type: "others") }
        counts[subject, default: 0] &+= 1
    }

    func read() -> [Metric] {
        counts.sorted { ($0.key.device, $0.key.type) < ($1.key.device, $1.key.type) }.map { subject, count in
            Metric(
                .counter, "faults_total", "Faults of devices, by the event that the SMMU recorded", count,
                labels: [.init(name: "device", value: subject.device), .init(name: "type", value: subject.type)])
        }
    }
}

import Glibc
import IOMMU
import JSONRPC
import ServiceTestSupport
import TestSupport
import Testing

@testable import IOMMUService

/// What `rpc.discover` answers, held against itself and against the daemon.
struct DocumentTests {
    private let document = MethodCatalog.document()
    private var check: DocumentCheck { DocumentCheck(document) }
    private var methods: [JSONValue] { document["methods"]?.arrayValue ?? [] }

    private func method(_ name: String) throws -> JSONValue {
        try #require(methods.first { $0["name"]?.stringValue == name })
    }

    @Test func itIsWhatIsServed() throws {
        let client = try ServiceBench().connect()
        #expect(try client.call("rpc.discover").text == document.text)
    }

    @Test func everyObjectHasANameOfItsOwn() throws {
        let schemas = try #require(document["components"]?["schemas"]?.objectValue)
        #expect(Set(schemas.map(\.key)).count == schemas.count)
        let bound = try method("device.bind")["result"]?["schema"]
        #expect(bound?["$ref"] == .string("#/components/schemas/DeviceBindReply"))
        #expect(check.component("TopologyListDeviceReserved")?["properties"]?["last"]?["type"] == .string("string"))
        #expect(check.component("ErrorData")?["required"]?.text == #"["errno","reason","method"]"#)
        var references = 0
        expectReferencesAndDefaults(document, "document", &references)
        #expect(references > 100)
    }

    /// References have a target, and defaults fit the schema that they stand in.
    private func expectReferencesAndDefaults(_ value: JSONValue, _ place: String, _ references: inout Int) {
        if let reference = value["$ref"]?.stringValue {
            references += 1
            let name = String(reference.split(separator: "/").last ?? "")
            #expect(check.component(name) != nil, "\(place): \(reference)")
        }
        if let standard = value["default"], value["type"] != nil || value["oneOf"] != nil {
            #expect(check.problems(standard, value, at: place).isEmpty)
        }
        for member in value.objectValue ?? [] where member.key != "examples" {
            expectReferencesAndDefaults(member.value, "\(place).\(member.key)", &references)
        }
        for element in value.arrayValue ?? [] {
            expectReferencesAndDefaults(element, "\(place) \(element["name"]?.text ?? "")", &references)
        }
    }

    @Test func whatHasToBeThereComesFirst() {
        for method in methods {
            let required = (method["params"]?.arrayValue ?? []).map { $0["required"]?.boolValue == true }
            #expect(required == required.sorted { $0 && !$1 }, "\(method["name"]?.text ?? "")")
            let subject = method["name"]?.stringValue?.split(separator: ".").first.map(String.init)
            #expect(method["tags"]?[0]?["name"]?.stringValue == subject)
        }
    }

    // MARK: Events

    private static var record: FaultDescription {
        var fault = FaultDescription(
            type: "F_TRANSLATION", streamID: 1, substreamID: 2, address: 0x1000,
            access: .init(kind: .read, privileged: true, stage: 2, purpose: "IN", ipa: 0x2000), stallTag: 3,
            record: [1, 2, 3, 4])
        fault.cause = .noDevice(streamID: 1)
        (fault.field, fault.fieldValue) = ("S1CDMax", 7)
        return fault
    }
    private static let bare = FaultDescription(
        type: "C_BAD_STE", streamID: 1, substreamID: nil, address: nil, access: nil, stallTag: nil,
        record: [1, 2, 3, 4])

    /// Of every kind, with as much and as little as it can say.
    private static let bodies: [BackendEvent.Body] =
        [
            .fault(PageFaultEvent(fault: 1, device: 2, name: "d", address: 0x1000, pasid: nil)),
            .fault(PageFaultEvent(fault: 1, device: 2, name: "d", address: 0x1000, pasid: 3)),
            .smmuEvent(SMMUEvent(smmu: "smmu0", name: nil, event: bare)),
            .smmuEvent(SMMUEvent(smmu: "smmu0", name: "d", event: record)),
            .mmExit(mm: 1),
            .bond(BondEvent(bond: 1, device: nil, name: "d", mm: 1, pasid: 1, state: "gone")),
            .bond(BondEvent(bond: 1, device: 2, name: "d", mm: 1, pasid: 1, state: "live")),
            .queue(QueueEvent(queue: 1, name: "d", mm: 1, state: .zombie, reason: .mmExited)),
            .veventq(VirtualEventQueueEvent(queue: 1, viommu: 2, name: "d", isLost: true)),
            .vsmmuEvent(vsmmu: 1, bare), .vsmmuEvent(vsmmu: 1, record),
        ] + DeviceEvent.Action.allCases.map { .device(DeviceEvent(name: "d", action: $0)) }

    private static func notice(_ notice: BareSMMUNotice) -> BackendEvent.Body { .vsmmuNotice(vsmmu: 1, notice) }

    private static var notices: [BackendEvent.Body] {
        var one = BareInvalidation(.range)
        (one.asid, one.vmid, one.addresses, one.streamIDs) = (1, 2, 0x1000...0x1fff, 3...3)
        (one.substreamID, one.leaf, one.ats) = (4, true, true)
        var several = BareInvalidation(.config)
        several.streamIDs = 3...4
        let answers = ["success", "invalid", "failure"].map {
            notice(.pageResponse(BarePageResponse(streamID: 1, substreamID: 2, group: 3, code: $0)))
        }
        return BareInvalidation.Scope.allCases.map { notice(.invalidate(BareInvalidation($0))) } + answers
            + BareStallAction.allCases.map { notice(.resume(id: 1, streamID: 2, $0)) } + [
                notice(.invalidate(one)), notice(.invalidate(several)), notice(.stall(id: 1, streamID: 2, tag: 3)),
                notice(.pageResponse(BarePageResponse(streamID: 1, substreamID: nil, group: 3, code: "success"))),
                notice(.message(address: 0x1000, data: 1)), notice(.event),
            ]
    }

    @Test func eventsAreWhatIsDeclaredOfTheirKind() throws {
        let bench = try ServiceBench()
        let client = try bench.connect()
        try client.call("events.subscribe", #"{"all":true}"#)
        let events = (Self.bodies + Self.notices).map { Event(BackendEvent($0), time: "now", origin: .connection(1)) }
        let named = Event.Origin.session("vm1", owner: 1000)
        let closed = Event(.sessionClosed, time: "now", origin: named, audience: .administrators)
        var kinds: Set<String> = []
        for event in events + [closed] {
            bench.service.events.publish(event)
            let params = try #require(try client.nextNotification()["params"])
            let kind = try #require(params["kind"]?.stringValue)
            let schema = try #require(check.component("Event" + camel(kind)), "\(kind)")
            #expect(check.problems(params, schema, at: kind).isEmpty)
            kinds.insert(kind)
        }
        #expect(kinds == Set(BackendEvent.Kind.allCases.map(\.rawValue)))
        let lost = #"{"kind":"lost","sequence":1,"time":"now","count":3}"#
        let event = try #require(check.component("Event"))
        #expect(check.problems(try JSONValue(parsing: lost), event, at: "lost").isEmpty)
        #expect(!check.problems(try JSONValue(parsing: #"{"kind":"other"}"#), event, at: "other").isEmpty)
    }

    private func camel(_ kind: String) -> String {
        kind.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    // MARK: Examples

    /// Long, or different from run to run: what their examples show is part of what comes, in kind.
    private static let abridged: Set<String> = [
        "session.attach", "daemon.info", "daemon.stats", "topology.list", "smmu.translate", "smmu.ste", "smmu.cd",
        "smmu.registers", "smmu.commands", "smmu.cache", "session.objects", "session.list", "rpc.discover",
    ]
    /// These need the kernel's own IOMMUs, or a state that is damaged.
    private static let elsewhere: Set<String> = ["device.export", "fd.export", "fd.offer", "state.discard"]

    @Test func everyMethodHasAnExampleThatFits() throws {
        for method in methods {
            let name = method["name"]?.stringValue ?? ""
            let examples = method["examples"]?.arrayValue ?? []
            #expect(!examples.isEmpty, "\(name)")
            for example in examples {
                for parameter in example["params"]?.arrayValue ?? [] {
                    let declared = method["params"]?.arrayValue?.first { $0["name"] == parameter["name"] }
                    let schema = try #require(declared?["schema"], "\(name): \(parameter.text)")
                    #expect(check.problems(try #require(parameter["value"]), schema, at: name).isEmpty)
                }
                let (result, schema) = (example["result"]?["value"], method["result"]?["schema"])
                #expect(check.problems(try #require(result), try #require(schema), at: name).isEmpty)
            }
        }
    }

    @Test func examplesAreAnsweredAsTheySay() throws {
        let client = try ServiceBench().connect()
        let memory = try SharedMemory(size: 65536)
        for example in MethodExamples.all where !Self.elsewhere.contains(example.method) {
            var params = example.method == "mm.open" ? #"{"pid":\#(getpid())}"# : example.params
            // Memory that this process has.
            let address = String(UInt(bitPattern: memory.bytes.baseAddress), radix: 16)
            params.replace("0x7f3c00000000", with: "0x\(address)")
            let descriptors = example.method == "memory.import" ? [memory.descriptor] : []
            let reply = try client.call(example.method, params, descriptors: descriptors)
            let schema = try #require(try method(example.method)["result"]?["schema"])
            #expect(check.problems(reply, schema, at: example.method).isEmpty)
            let result = try JSONValue(parsing: example.result)
            if Self.abridged.contains(example.method) {
                // What has been counted depends on what has happened; that it is as declared says enough.
                #expect(
                    example.method == "daemon.stats" || isPart(result, of: reply), "\(example.method): \(reply.text)")
            } else {
                #expect(reply.text == result.text, "\(example.method) \(params)")
            }
        }
    }

    /// Whether every member and element has one of its kind in what came.
    private func isPart(_ example: JSONValue, of reply: JSONValue) -> Bool {
        switch (example, reply) {
        case (.object(let members), .object):
            members.allSatisfy { member in reply[member.key].map { isPart(member.value, of: $0) } ?? false }
        case (.array(let elements), .array(let others)):
            elements.allSatisfy { element in others.contains { isPart(element, of: $0) } }
        case (.string, .string), (.bool, .bool), (.integer, .integer), (.null, .null), (.number, .number): true
        default: false
        }
    }
}

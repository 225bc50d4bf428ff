import IOMMUService
import JSONRPC
import Testing

struct MethodCatalogTests {
    private let declarations = MethodCatalog.make().declarations

    @Test func everyMethodSaysWhatItDoes() {
        for method in declarations {
            #expect(method.title.split(separator: ".").count == 2, "\(method.title)")
            #expect(method.summary.hasSuffix("."), "\(method.title): \(method.summary)")
            for field in method.parameters + method.results {
                #expect(!field.doc.isEmpty, "\(method.title): \(field.name)")
            }
        }
    }

    @Test func onlyTheMachineAndItsStateAreForAdministratorsAltogether() {
        let restricted = declarations.filter { $0.role == .admin }.map(\.title)
        #expect(restricted == ["state.discard", "device.add", "device.remove"])
    }

    @Test func onlyReadingLeavesTheStateAlone() {
        let reading = Set(declarations.filter { !$0.changesState }.map(\.title))
        #expect(
            reading.isSuperset(of: ["daemon.info", "topology.list", "session.objects", "ioas.mappings", "smmu.ste"]))
        #expect(reading.isDisjoint(with: ["ioas.map", "device.bind", "fault.read", "dma.read", "vsmmu.translate"]))
    }

    @Test func descriptorsAreDeclared() {
        let taking = declarations.filter { $0.descriptorsTaken.upperBound > 0 }.map(\.title)
        #expect(taking == ["memory.import", "fd.export", "mm.open", "vsmmu.set_irq"])
        let returning = declarations.filter(\.returnsDescriptors).map(\.title)
        #expect(returning == ["memory.export", "fd.export", "device.export", "vsmmu.ring_open"])
    }

    @Test func discoveryDescribesEveryMethodThatIsServed() throws {
        let client = try ServiceBench().connect()
        let document = try client.call("rpc.discover")
        #expect(document["openrpc"]?.stringValue?.hasPrefix("1.") == true)
        let names = Set(document["methods"]?.arrayValue?.compactMap { $0["name"]?.stringValue } ?? [])
        #expect(names.isSuperset(of: Self.contract), "missing: \(Self.contract.subtracting(names).sorted())")
    }

    /// The methods that clients are promised.
    private static let contract: Set<String> = [
        "session.attach", "session.close", "session.list", "session.objects", "object.destroy", "daemon.info",
        "daemon.stats", "rpc.discover", "topology.list", "events.subscribe", "events.unsubscribe", "memory.import",
        "memory.create", "memory.export", "memory.read", "memory.write", "memory.close", "ioas.alloc", "ioas.map",
        "ioas.map_many", "ioas.unmap", "ioas.copy", "ioas.iova_ranges", "ioas.allow_iovas", "ioas.mappings",
        "ioas.set_option", "ioas.get_option", "device.bind", "device.unbind", "device.hw_info", "device.attach",
        "device.replace", "device.detach", "hwpt.alloc", "hwpt.set_dirty_tracking", "hwpt.get_dirty_bitmap",
        "hwpt.invalidate", "fault.alloc", "fault.read", "fault.respond", "viommu.alloc", "vdevice.alloc",
        "veventq.alloc", "veventq.read", "device.explain", "ioas.check", "fd.export", "fd.offer", "mm.open",
        "mm.create", "mm.map",
        "mm.unmap", "mm.exit", "mm.close", "sva.bind", "sva.unbind", "sva.list", "queue.open", "queue.start",
        "queue.stop", "queue.close", "queue.submit", "dma.read", "dma.write", "smmu.translate", "smmu.ste", "smmu.cd",
        "smmu.registers", "smmu.commands", "smmu.events", "smmu.cache", "device.add", "device.remove", "cpu.tlbi",
        "vsmmu.create", "vsmmu.mmio_read", "vsmmu.mmio_write", "vsmmu.memory", "vsmmu.translate", "vsmmu.destroy",
        "vsmmu.translate_many", "vsmmu.unmap_memory", "device.export", "vsmmu.reset",
        "vsmmu.stalls", "vsmmu.page_request", "vsmmu.tlbi", "vsmmu.save", "vsmmu.load",
    ]
}

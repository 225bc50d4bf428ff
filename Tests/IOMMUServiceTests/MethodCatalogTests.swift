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

    @Test func onlyHotPlugIsForAdministratorsAltogether() {
        let restricted = declarations.filter { $0.role == .admin }.map(\.title)
        #expect(restricted == ["device.add", "device.remove"])
    }

    @Test func onlyReadingLeavesTheStateAlone() {
        let reading = Set(declarations.filter { !$0.changesState }.map(\.title))
        #expect(
            reading.isSuperset(of: ["daemon.info", "topology.list", "session.objects", "ioas.mappings", "smmu.ste"]))
        #expect(reading.isDisjoint(with: ["ioas.map", "device.bind", "fault.read", "dma.read", "vsmmu.translate"]))
    }

    @Test func descriptorsAreDeclared() {
        let taking = declarations.filter { $0.descriptorsTaken.upperBound > 0 }.map(\.title)
        #expect(taking == ["memory.import", "mm.open", "vsmmu.set_irq"])
        let returning = declarations.filter(\.returnsDescriptors).map(\.title)
        #expect(returning == ["memory.export", "fd.export", "device.export"])
    }
}

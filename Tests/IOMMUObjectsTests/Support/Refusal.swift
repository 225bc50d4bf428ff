import IOMMU
import LinuxIO
import Testing

/// Expects a refusal with this errno (and reason, if one is given), and that it changes nothing.
func expectRefusal<Value>(
    _ errno: Errno, _ reason: Reason? = nil, in laboratory: ObjectLaboratory,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Value
) {
    let before = laboratory.snapshot
    do {
        _ = try body()
        Issue.record("this should have been refused with \(errno)", sourceLocation: sourceLocation)
    } catch let error as IOMMUError {
        #expect(error.errno == errno, "\(error.message)", sourceLocation: sourceLocation)
        if let reason { #expect(error.reason == reason, "\(error.message)", sourceLocation: sourceLocation) }
        #expect(!error.message.isEmpty, sourceLocation: sourceLocation)
    } catch {
        Issue.record(error, sourceLocation: sourceLocation)
    }
    #expect(laboratory.snapshot == before, "the refusal changed something", sourceLocation: sourceLocation)
}

// Where the standard library is linked statically there is no Testing, and nobody who would use this.
#if canImport(Testing)
    import IOMMU
    import LinuxIO
    import Testing

    /// What a test works on, with all that a refusal must not change.
    package protocol Snapshotted {
        associatedtype Snapshot: Equatable

        /// All that could be changed.
        var snapshot: Snapshot { get }
    }

    /// Expects a refusal with this errno (and reason, if one is given), and that it changes nothing.
    package func expectRefusal<Value>(
        _ errno: Errno, _ reason: Reason? = nil, in laboratory: some Snapshotted, fileID: String = #fileID,
        filePath: String = #filePath, line: Int = #line, column: Int = #column, _ body: () throws -> Value
    ) {
        let place = SourceLocation(fileID: fileID, filePath: filePath, line: line, column: column)
        func expect(_ isSo: Bool, _ complaint: @autoclosure () -> String) {
            if !isSo { Issue.record("\(complaint())", sourceLocation: place) }
        }
        let before = laboratory.snapshot
        do {
            _ = try body()
            expect(false, "this should have been refused with \(errno)")
        } catch let error as IOMMUError {
            expect(error.errno == errno, "\(error.errno) instead of \(errno): \(error.message)")
            expect(reason == nil || error.reason == reason, "\(error.reason.slug): \(error.message)")
            expect(!error.message.isEmpty, "\(error.reason.slug) without a message")
        } catch {
            Issue.record(error, sourceLocation: place)
        }
        expect(laboratory.snapshot == before, "the refusal changed something")
    }
#endif

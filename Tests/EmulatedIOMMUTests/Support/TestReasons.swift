@testable import IOMMU

/// What only tests refuse with.
extension Reason {
    /// A failure that a test chose.
    static let injected = Reason("injected")
    /// What a test repeats until it succeeds never does.
    static let endless = Reason("endless")
    /// What a test expects to wait did not.
    static let notPending = Reason("not_pending")
}

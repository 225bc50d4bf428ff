import IOMMU
import SMMUv3

extension Reason {
    /// Why an access ended without a record.
    init(_ termination: Termination) {
        self =
            switch termination {
            case .steAbort: .steAbort
            case .gbpaAbort: .gbpaAbort
            case .smmuDisabled: .smmuDisabled
            case .faultNotRecorded: .faultNotRecorded
            case .readAsZero: .razWI
            case .badStreamID: .badStreamID
            case .atsUnsupportedRequest: .atsUnsupportedRequest
            case .atsCompleterAbort: .atsCompleterAbort
            case .atsNoAccess: .atsNoAccess
            case .atsTranslatedForbidden: .atsTranslatedForbidden
            case .addressBeyondOAS: .addressBeyondOAS
            }
    }
}

import IOMMU
import SMMUv3

extension Identification {
    /// The laboratory's `smmu0`, with some words given by a client.
    ///
    /// - Throws: `EINVAL` for a name that is no ID register.
    init(overrides: [String: UInt32]) throws(IOMMUError) {
        self = .laboratory
        for (name, value) in overrides {
            switch name {
            case "IDR0": IDR0 = value
            case "IDR1": IDR1 = value
            case "IDR2": IDR2 = value
            case "IDR3": IDR3 = value
            case "IDR4": IDR4 = value
            case "IDR5": IDR5 = value
            case "IIDR": IIDR = value
            case "AIDR": AIDR = value
            default:
                throw IOMMUError(
                    .EINVAL, "unknown_id_register", "\(name) is not an ID register",
                    hint: "IDR0 to IDR5, IIDR and AIDR can be given", ["field": .text(name)]
                )
            }
        }
    }
}

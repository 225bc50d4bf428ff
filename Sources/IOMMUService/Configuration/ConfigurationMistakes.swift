/// The mistakes of a file that have been found so far, in the order in which it is read.
final class ConfigurationMistakes {
    /// More are counted, but not told: a file of a million mistakes is none of a configuration.
    private static let told = 50

    private var list: [ConfigurationError] = []
    private var untold = 0

    var isEmpty: Bool { list.isEmpty }

    func note(_ mistake: ConfigurationError) {
        if list.count < Self.told { list.append(mistake) } else { untold += 1 }
    }

    /// Throws the first with all others, if there is any.
    func check() throws(ConfigurationError) {
        guard var first = list.first else { return }
        first.others = Array(list.dropFirst())
        first.untold = untold
        throw first
    }
}

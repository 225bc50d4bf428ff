/// A long run of random steps against something that knows what has to come out. Where the two differ, the shortest
/// part of the run that still shows it is told.
package struct RandomRun<Step> {
    /// The number of the step that failed, and how.
    package typealias Failure = (index: Int, text: String)

    private let carryOut: (_ steps: [Step]) throws -> Failure?
    private let budget: Int

    /// - Parameters:
    ///   - budget: steps that may be spent on finding the shortest part: enough for a few dozen to be left; a machine
    ///     under load is not kept busy for minutes.
    ///   - carryOut: does the steps from a fresh beginning.
    package init(budget: Int = 300_000, _ carryOut: @escaping (_ steps: [Step]) throws -> Failure?) {
        self.budget = budget
        self.carryOut = carryOut
    }

    /// What is wrong with a run, and the end of its shortest part; nil if nothing is.
    package func complaint(about steps: [Step]) throws -> String? {
        guard let failure = try carryOut(steps) else { return nil }
        let shortest = try shrink(Array(steps[...min(failure.index, steps.count - 1)]))
        let text = try carryOut(shortest)?.text ?? failure.text
        let listing = shortest.suffix(60).map { "\($0)" }.joined(separator: "\n")
        return "step \(failure.index): \(text)\n\(listing)"
    }

    /// Leaves out ever smaller pieces.
    private func shrink(_ failing: [Step]) throws -> [Step] {
        var steps = failing
        var piece = max(steps.count / 2, 1)
        var left = budget
        while true {
            var start = 0
            while start < steps.count {
                var shorter = steps
                shorter.removeSubrange(start..<min(start + piece, steps.count))
                left -= shorter.count
                if left < 0 { return steps }
                if try carryOut(shorter) != nil { steps = shorter } else { start += piece }
            }
            if piece == 1 { return steps }
            piece = max(piece / 2, 1)
        }
    }
}

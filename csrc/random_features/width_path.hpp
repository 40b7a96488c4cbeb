// Regression on nested feature sets: every width N = 1, 2, ... of
//
//     a_N = argmin_a |y - Z_N a|^2 + P |a|^2,      P = penalty; P = 0: the minimum-norm least-squares solution,
//
// where Z_N (n x N) holds the first N features. Features arrive in blocks; each block yields a row of statistics
// for every width it passes. Orthogonal transformations where it matters, so that errors grow like eps * cond(Z_N), not
// its square.
//
// Four stages, by what determines the solution:
//
// primal   N = rank.  Z_N = Q R (stacked over sqrt(P) I when P > 0), block Gram-Schmidt with reorthogonalisation.
//          Leading blocks of Q, R and R^-1 belong to the smaller widths, so one factorisation serves them all:
//          predictions  f_N = sum_{i <= N} u_i c_i  with  U = Z_test R^-1,  c = Q^T y.
// dual     rank = n.  K = Z_N Z_N^T + P I = R^T R, R the factor of Z_N^T = Q R; a feature is one more row of Z_N^T.
//          With C = Q^T Z_test^T and g = R^-T y the predictions are C^T g. A block of rows turns
//          [R C g; Z_b^T Z_test,b^T 0] into [R' C' g'; 0 E_C E_g], and in the basis of the annihilated space that
//          is nested in the order of arrival (an RQ factorisation of a small block)
//              f_j = f_{j-1} - E_C[j] E_g[j],   K_j^-1 = K_{j-1}^-1 - k_j k_j^T,   alpha_j = alpha_{j-1} - k_j E_g[j].
//          Widths inside a block are filled in backwards from its end, so that the large values next to the
//          interpolation threshold never cancel into the small ones behind it.
// inverse  The same recursion on K^-1 itself and the test smoother S = K^-1 Z_N Z_test^T (Woodbury's identity). All
//          its work is in large matrix products, but its errors grow with the squared condition number: it takes
//          over where that is small, some way behind the threshold, or at once under a sizeable ridge.
// rotated  N > rank < n, P = 0 (dependent features: linear activations, repeated samples): the dual recursion in
//          the coordinates Q^T of the column space found so far, which grows when a feature leaves it.
//
// Each stage stands with the way into it in width_path_<stage>.cpp, the primal one in width_path.cpp; the rows that
// they write are in width_path_rows.cpp.
#pragma once

#include <vector>

#include "core/buffer.hpp"
#include "core/matrix.hpp"
#include "core/team.hpp"

namespace pyphenom {

// Where a block of b features puts its b rows of statistics; per target: targets x b, column j = the block's j-th.
struct PathRows {
    Matrix<double> train_error;  // mean squared residual
    Matrix<double> test_error;  // mean squared error
    Matrix<double> coefficient_norm;  // |a_N|
    Matrix<double> leave_one_out_error;  // mean squared leave-one-out residual, P held
    double* degrees_of_freedom;  // trace of the hat matrix
    double* condition;  // |A|_F |A^+|_F: between cond(A) and rank(A) cond(A); more where much of A was dropped
    double* rank;  // numerical rank of Z_N
    double* predictions;  // b x targets x tests (last fastest), or null
};

class WidthPath {
  public:
    // y: n x targets, y_test: m x targets; max_width bounds the number of features that will arrive. A feature counts
    // as dependent on those before it where what they leave of it is below `tolerance` times its norm. `norm2` is about
    // |Z|_F^2 of all that will arrive if they are of like size; infinite if not, and the inverse stage is not entered.
    // BLAS has threads of its own; `threads` are for the inverse stage where it is the first.
    // The matrices are allocated here and at a change of stage; blocks allocate vectors only.
    WidthPath(Matrix<const double> y, Matrix<const double> y_test, Index max_width, double penalty, double tolerance,
              double norm2, int threads = 1);

    // Z: n x b and Z_test: m x b, one feature a column; b >= 1. After an exception the path is unusable.
    void append(Matrix<const double> Z, Matrix<const double> Z_test, const PathRows& rows);

  private:
    using M = Matrix<double>;
    using CM = Matrix<const double>;
    enum class Stage { unset, primal, rotated, dual, inverse };
    static constexpr Index inverse_block = 128;  // features a block of the inverse stage
    static constexpr Index panel = 32;  // columns of one block reflector

    // What the rows of one width are written from.
    struct State {
        std::vector<double> predictions;  // m x targets
        std::vector<double> alpha;  // K^-1 y in working coordinates, rank x targets
        std::vector<double> diagonal;  // of K^-1, rank
        std::vector<double> norm2;  // |g|^2 = y^T K^-1 y, targets
        double inverse_norm2 = 0.0;  // |R^-1|_F^2
    };

    void choose_first_stage();
    Index append_primal(CM Z, CM Z_test, const PathRows& rows, Index at);
    void write_primal_row(const PathRows& rows, Index at);
    void leave_one_out_from_residual(double* errors);
    void add_left_out_squares(const std::vector<Index>& samples, double* sums);
    void write_zero_row(const PathRows& rows, Index at);

    void enter_dual_from_primal();
    void enter_dual_from_rotated();
    void enter_rotated();
    void enter_inverse();
    void start_inverse_with_ridge();
    const double* multiply_features(CM Z, CM Z_test);
    const double* multiply_features(CM Z, CM Z_test, Team& team);
    void multiply_out(Team& team);
    void solve_inverse();
    bool inverse_is_safe() const;

    Index append_rotated(CM Z, CM Z_test, const PathRows& rows, Index at);
    void grow(CM Z_test, const PathRows& rows, Index at);
    void append_dual(CM coordinates, CM Z_test, const PathRows& rows, Index at);
    void append_inverse(CM Z, CM Z_test, const PathRows& rows, Index at, Team& team);
    void fill_backwards(CM k, CM U, CM E_g, const PathRows& rows, Index at);
    void follow_coefficient_norms(const PathRows& rows, Index at, Index b);
    void solve_working();
    void invert_working();
    void write_working_row(const PathRows& rows, Index at);
    void leave_one_out_working(double* errors);

    double condition() const;
    void write_errors(const PathRows& rows, Index at, Index target, double train, double norm2) const;

    Index n_, m_, targets_, max_width_, capacity_;
    double penalty_, tolerance_, announced_norm2_;
    int threads_;
    bool may_invert_;  // features of like size, and enough samples for the inverse stage
    Stage stage_ = Stage::unset;
    Index width_ = 0;
    Index rank_ = 0;  // columns of the factor in use
    Index dual_block_ = 1;  // doubles from block to block: the first feature behind the threshold changes most
    bool own_threads_ = false;  // inverse stage: whether all its products are on `threads_`
    bool multiplied_out_ = true;  // inverse stage: false while K^-1 = I / P and S = 0 but for the pending columns
    Index pending_ = 0;  // columns of k and U that K^-1 and S do not contain yet
    Index inverse_blocks_ = 0;
    Index next_check_ = 0;  // width from which `inverse_is_safe` is worth asking

    std::vector<double> y_, y_test_;  // n x targets, m x targets
    std::vector<double> features2_;  // squared norms of the features of the block at hand
    double norm2_of_features_ = 0.0;  // |Z_N|_F^2
    State state_;
    std::vector<double> diagonal_reference_;  // of K^-1 when it was last computed afresh
    std::vector<double> coefficient_norm2_;  // |a|^2 of the last width, targets; ridge only
    std::vector<double> norm_change_;  // its change by each feature of a block, targets x b

    // Primal: residual [y; 0] - Q Q^T [y; 0] (q_rows x targets), leverages, coefficients (capacity x targets).
    std::vector<double> residual_, leverage_, spare_, coefficients_;
    std::vector<double> y_working_;  // rank x targets: y, or Q^T y

    // Factors. Q: q_rows x capacity, q_rows = n [+ capacity]. R: capacity x n, holds Z^T in the primal stage. C:
    // capacity x (m + targets), holds Z_test^T in the primal stage, [C g] later. Inverse: [K^-1 S], n x (n + m).
    Buffer Q_, R_, C_, inverse_, R_inverse_, U_;
    Index q_rows_ = 0;
    double basis_condition_ = 1.0;  // the largest condition number under which a column of Q was found; rotated only
    double dropped2_ = 0.0;  // squared norm of what dependent features left of themselves, above `tolerance_`

    // Scratch of one block; R_previous_ holds R^-1 between blocks.
    Buffer R_previous_, C_previous_, H_, H2_, P_, small_, small2_, small3_, B_, T_, D_, E_, E_g_, N_top_, N_bottom_, k_,
        kU_, Z_panels_, found_, tau_, work_;
};

}  // namespace pyphenom

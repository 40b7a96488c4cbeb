// Regression on nested feature sets: every width N = 1, 2, ... of
//
//     a_N = argmin_a |y - Z_N a|^2 + P |a|^2,      P = penalty; P = 0: the minimum-norm least-squares solution,
//
// where Z_N (n x N) holds the first N features. Features arrive in blocks; each block yields a row of statistics
// for every width it passes. Orthogonal transformations only, so errors grow like eps * cond(Z_N), not its square.
//
// Three stages, by what determines the solution:
//
// primal   N = rank.  Z_N = Q R (stacked over sqrt(P) I when P > 0), block Gram-Schmidt with reorthogonalisation.
//          Leading blocks of Q, R and R^-1 belong to the smaller widths, so one factorisation serves them all:
//          predictions  f_N = sum_{i <= N} u_i c_i  with  U = Z_test R^-1,  c = Q^T y.
// dual     rank = n (or P > 0).  K = Z_N Z_N^T + P I = R^T R, R the factor of Z_N^T = Q R; a feature is one more
//          row of Z_N^T. With C = Q^T Z_test^T and g = R^-T y the predictions are C^T g. A block of rows turns
//          [R C g; Z_b^T Z_test,b^T 0] into [R' C' g'; 0 E_C E_g], and in the basis of the annihilated space that
//          is nested in the order of arrival (an RQ factorisation of a small block)
//              f_j = f_{j-1} - E_C[j] E_g[j],   K_j^-1 = K_{j-1}^-1 - k_j k_j^T,   alpha_j = alpha_{j-1} - k_j E_g[j].
//          Widths inside a block are filled in backwards from its end, so that the large values next to the
//          interpolation threshold never cancel into the small ones behind it.
// rotated  N > rank < n, P = 0 (dependent features: linear activations, repeated samples): the dual recursion in
//          the coordinates Q^T of the column space found so far, which grows when a feature leaves it.
#pragma once

#include <vector>

#include "core/matrix.hpp"

namespace pyphenom {

// Where a block of b features puts its b rows of statistics; per target: targets x b, column j = the block's j-th.
struct PathRows {
    Matrix<double> train_error;          // mean squared residual
    Matrix<double> test_error;           // mean squared error
    Matrix<double> coefficient_norm;     // |a_N|
    Matrix<double> leave_one_out_error;  // mean squared leave-one-out residual, P held
    double* degrees_of_freedom;          // trace of the hat matrix
    double* condition;                   // |A|_F |A^+|_F: between cond(A) and rank(A) cond(A)
    double* rank;                        // numerical rank of Z_N
    double* predictions;                 // b x targets x tests (last fastest), or null
};

class WidthPath {
  public:
    // y: n x targets, y_test: m x targets; max_width bounds the number of features that will arrive. A feature counts
    // as dependent on those before it where what they leave of it is below `tolerance` times its norm.
    // All memory is taken here and at a change of stage.
    WidthPath(Matrix<const double> y, Matrix<const double> y_test, Index max_width, double penalty, double tolerance);

    // Z: b x n and Z_test: b x m, one feature a row.
    void append(Matrix<const double> Z, Matrix<const double> Z_test, const PathRows& rows);

    Index width() const { return width_; }

  private:
    enum class Stage { unset, primal, rotated, dual };

    void choose_first_stage(Matrix<const double> Z);
    Index append_primal(Matrix<const double> Z, Matrix<const double> Z_test, const PathRows& rows, Index at);
    Index append_rotated(Matrix<const double> Z, Matrix<const double> Z_test, const PathRows& rows, Index at);
    void append_working(Matrix<const double> Z, Matrix<const double> Z_test, const PathRows& rows, Index at,
                        Index count);
    void grow(Matrix<const double> Z_test, const PathRows& rows, Index at);

    void enter_dual_from_primal();
    void enter_dual_from_rotated();
    void enter_rotated();
    void start_dual_with_ridge();
    void restart_working();

    void repeat_row(Matrix<const double> Z_test, const PathRows& rows, Index at);
    void write_primal_row(const PathRows& rows, Index at);
    void write_working_row(const PathRows& rows, Index at, Index in_block);
    void follow_coefficient_norms(Matrix<const double> k, Matrix<const double> E_g);
    double leave_one_out_primal(Index target);
    double leave_one_out_working(Index target);
    void write_errors(const PathRows& rows, Index at, Index target, double train, double norm2, double loo);
    bool pinned(Index sample) const;

    void count_norm(Matrix<const double> Z, Index j);
    double condition() const;

    Index n_, m_, targets_, max_width_, capacity_;
    double penalty_, tolerance_;
    Stage stage_ = Stage::unset;
    Index width_ = 0;
    Index rank_ = 0;       // columns of the factor in use
    Index dual_block_ = 8;  // grows from block to block: the first ones behind the threshold change most

    std::vector<double> y_, y_test_;     // n x targets, m x targets
    std::vector<double> residual_;       // (n + capacity) x targets: [y; 0] - Q Q^T [y; 0]
    std::vector<double> leverage_;       // n
    std::vector<double> predictions_;    // m x targets
    std::vector<double> coefficients_;   // capacity x targets; primal only
    std::vector<double> y_working_;      // rank x targets: y, or Q^T y
    std::vector<double> alpha_, diag_, diag_reference_;  // of K^-1 y and K^-1 in working coordinates
    std::vector<double> norm2_;          // targets: |g|^2
    std::vector<double> coefficient_norm2_, followed_norm2_;  // |a|^2 before and inside a block; ridge only
    double inverse_norm2_ = 0.0;         // |R^-1|_F^2
    double norm2_of_features_ = 0.0;     // |Z_N|_F^2

    // Factors. Q: (n [+ capacity]) x capacity. R: capacity x n, holds Z^T in the primal stage.
    // C: capacity x (m + targets), holds Z_test^T in the primal stage, [C g] later.
    std::vector<double> Q_, R_, C_, R_inverse_, U_, R_previous_;
    Index q_rows_ = 0;

    // Scratch of one block.
    std::vector<double> H_, H2_, small_, small2_, small3_, B_, T_, D_, D2_, N_top_, N_bottom_, N_nested_, tau_, work_;
};

}  // namespace pyphenom
